"""Which events a report wants, as SQL over the mirror: one bit of a mask per question."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.domain.funnel import Alternative
from app.mirror.conditions import Shapes, all_sql

TIME_MAX_US = 2**62  # beyond every time we store
BITS_MAX = 63  # of a mask; DuckDB makes it as a signed number

Int64s = npt.NDArray[np.int64]
Range = tuple[int, int]  # [start_us, end_us)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One bit of the mask: the events that match any of the alternatives (their `after` aside).

    The times limit which rows are read, not the bit: an event outside of [start_us, end_us) that is read for another
    bit's sake has this bit set too when it matches, so whoever uses the mask looks at the time again.
    """

    any_of: tuple[Alternative, ...]
    start_us: int
    end_us: int = TIME_MAX_US


def masks(
    wanted: Sequence[Wanted], names: dict[str, int], shapes: Shapes
) -> tuple[npt.NDArray[np.uint64], str, list[Any]]:
    """Per name the bits that need no condition, and one more column in SQL, with its parameters, for those that do."""
    mask_of_name = np.zeros(max(names.values(), default=-1) + 1, np.uint64)
    terms: list[str] = []
    parameters: list[Any] = []
    for bit, want in enumerate(wanted):
        conditional: list[str] = []
        for alternative in want.any_of:
            name_id = names.get(alternative.event_name)
            if name_id is None:
                continue
            if not alternative.where:
                mask_of_name[name_id] |= np.uint64(1 << bit)
                continue
            sql, values = all_sql(alternative.where, shapes)
            conditional.append(f"(name_id = {name_id} AND {sql})")
            parameters += values
        if conditional:
            terms.append(f"CASE WHEN {' OR '.join(conditional)} THEN {1 << bit} ELSE 0 END")
    column = f", ({' | '.join(terms)})::BIGINT AS conditional" if terms else ""
    return mask_of_name, column, parameters


def spans(wanted: Sequence[Wanted], names: dict[str, int]) -> tuple[Int64s, Int64s] | None:
    """By name_id the time [from_us, to_us) at which any bit wants the name. None when one of them has several such."""
    count = max(names.values(), default=-1) + 1
    from_us, to_us = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for name_id, ranges in _ranges(wanted, names).items():
        union = _union(ranges)
        if len(union) > 1:
            return None
        from_us[name_id], to_us[name_id] = union[0]
    return from_us, to_us


def relevant_sql(wanted: Sequence[Wanted], names: dict[str, int], every_from_us: int) -> str:
    """Rows worth reading: per name, at times at which any bit wants it; and all of them from every_from_us on."""
    groups: dict[tuple[Range, ...], list[int]] = {}
    for name_id, wanted_ranges in _ranges(wanted, names).items():
        groups.setdefault(_union(wanted_ranges), []).append(name_id)
    parts = [
        f"({_within(start_us, end_us)} AND name_id IN ({', '.join(map(str, name_ids))}))"
        for group, name_ids in groups.items()
        for start_us, end_us in group
    ]
    if every_from_us < TIME_MAX_US:
        parts.append(_within(every_from_us, TIME_MAX_US))
    return " OR ".join(parts) or "false"


def _ranges(wanted: Sequence[Wanted], names: dict[str, int]) -> dict[int, set[Range]]:
    ranges: dict[int, set[Range]] = {}
    for want in wanted:
        for alternative in want.any_of:
            name_id = names.get(alternative.event_name)
            if name_id is not None:
                ranges.setdefault(name_id, set()).add((want.start_us, want.end_us))
    return ranges


def _union(ranges: set[Range]) -> tuple[Range, ...]:
    """The same times in as few ranges as can be, in order."""
    joined: list[Range] = []
    for start_us, end_us in sorted(ranges):
        if joined and start_us <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_us))
        else:
            joined.append((start_us, end_us))
    return tuple(joined)


def _within(start_us: int, end_us: int) -> str:
    since = f"occurred_at_us >= {start_us}"
    return since if end_us >= TIME_MAX_US else f"{since} AND occurred_at_us < {end_us}"
