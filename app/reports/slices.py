"""What an answer can be split by, beside its totals: periods of the storefront's calendar, and values of its events."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, BaseModel, Field, ValidationInfo, field_validator

from app.domain.periods import Granularity, local, period_edges
from app.domain.storefront import Storefront
from app.domain.time_range import instant, to_us
from app.errors import FieldError, Invalid
from app.mirror.scan import Scan, Subject
from app.reports.base import NEVER_US
from app.reports.conditions import DIMENSION_NAMES, Name
from app.reports.ranges import RangeQuery, bounds_us

OTHER, NOT_SET = "(other)", "(not set)"
GROUPS_MAX = 100
PERIODS_MAX = 1_000
CELLS_MAX = 10_000  # periods times groups: some megabytes of JSON

Kind = Literal["value", "other", "not_set"]
Ints = npt.NDArray[np.integer]


class Period(BaseModel):
    """complete: it is over."""

    period_start: AwareDatetime
    period_end: AwareDatetime
    complete: bool


class SliceQuery(RangeQuery):
    """Flat, as it travels in a query string. PLACE: where its members stand in the request, as a pointer."""

    PLACE: ClassVar[str] = "/query"

    period: Annotated[Granularity | None, Field(description="also by these periods, where the storefront is")] = None
    property: Annotated[Name | None, Field(description="also by the values of this property")] = None
    dimension: Annotated[Name | None, Field(description="also by the values of this dimension, such as `country`")] = (
        None
    )
    limit: Annotated[int, Field(ge=1, le=GROUPS_MAX, description="values beside `(other)` and `(not set)`")] = 10
    include_bots: bool = False
    as_of: Annotated[AwareDatetime | None, Field(description="only events received before it")] = None

    @field_validator("dimension")
    @classmethod
    def _is_there(cls, dimension: str | None, info: ValidationInfo) -> str | None:
        if dimension is not None and info.data.get("property") is not None:
            raise ValueError("give either `property` or `dimension`")
        if dimension is not None and dimension not in DIMENSION_NAMES:
            raise ValueError(f"there is no dimension {dimension!r}; there are {', '.join(DIMENSION_NAMES)}")
        return dimension

    def subject(self) -> Subject | None:
        name = self.property or self.dimension
        return Subject(name, is_dimension=self.dimension is not None) if name else None

    def asked_us(self) -> int | None:
        """The `as_of` that was asked for."""
        return None if self.as_of is None else to_us(instant(self.as_of, "UTC"))

    def now_us(self, scan: Scan) -> int:
        """The time as of which the answer is."""
        asked_us = self.asked_us()
        return scan.as_of_us if asked_us is None else min(asked_us, scan.as_of_us)

    def valid_until_us(self, edges: list[int], scan: Scan) -> int:
        """Until then time alone completes no period, nor comes to the `as_of` that was asked for. edges: of
        edges_of."""
        asked_us = self.asked_us()
        if asked_us is not None and asked_us <= scan.as_of_us:
            return NEVER_US
        ends_us = edges[1:] if self.period else []
        next_us = next((end_us - 1 for end_us in ends_us if end_us > scan.as_of_us), NEVER_US)
        return next_us if asked_us is None else min(next_us, asked_us)


def edges_of(asked: SliceQuery, storefront: Storefront) -> list[int]:
    """Where the range and the periods in it begin, and last where it ends. Raises Invalid for an empty range, and for
    more than can be shown."""
    start_us, end_us = bounds_us(asked.from_, asked.to, storefront, asked.PLACE)
    if asked.period is None:
        return [start_us, end_us]
    periods_max = CELLS_MAX // (asked.limit + 2) if asked.subject() else PERIODS_MAX
    edges = period_edges(start_us, end_us, asked.period, storefront.time_zone, min(periods_max, PERIODS_MAX))
    if edges is None:
        each = f" for each of {asked.limit} values" if asked.subject() else ""
        fault = (
            f"The range has more than {min(periods_max, PERIODS_MAX):,} periods of a {asked.period}, which is the most"
            f"{each}; ask for a longer `period`, a shorter range{' or a lower `limit`' if each else ''}."
        )
        raise Invalid("There would be too many periods.", errors=[FieldError(fault, f"{asked.PLACE}/period")])
    return edges


def periods_of(edges: list[int], storefront: Storefront, now_us: int) -> list[Period]:
    return [
        Period(
            period_start=local(start_us, storefront.time_zone),
            period_end=local(end_us, storefront.time_zone),
            complete=end_us <= now_us,
        )
        for start_us, end_us in pairwise(edges)
    ]


def period_of(at_us: Ints, edges: list[int]) -> npt.NDArray[np.int64]:
    """Per time the place of its period; -1 and one too many for what lies before and behind all."""
    return np.searchsorted(np.array(edges, np.int64), at_us, side="right") - 1


class Groups(NamedTuple):
    """names: the values with the most members, then the rest and those without, as far as there are any. place_of:
    by code, with that of no value (code -1) last."""

    names: list[tuple[str, Kind]]
    place_of: npt.NDArray[np.int64]


def groups_of(members: Ints, codes: Ints, texts: Sequence[str], limit: int) -> Groups:
    """members: the codes of what decides which values are the largest, by number and then by text. codes: of all that
    need a place."""
    counts = np.bincount(members[members >= 0], minlength=len(texts))
    used = np.flatnonzero(counts)
    if len(used) > limit:  # texts can be many, and only those that can be among the largest are looked at
        used = used[counts[used] >= np.partition(counts[used], -limit)[-limit]]
    largest = sorted(used.tolist(), key=lambda code: (-counts[code], texts[code]))[:limit]
    place_of = np.full(len(texts) + 1, len(largest), np.int64)
    place_of[largest] = np.arange(len(largest))
    names: list[tuple[str, Kind]] = [(texts[code], "value") for code in largest]
    has_value = codes[codes >= 0]
    if (place_of[has_value] == len(largest)).any():
        names.append((OTHER, "other"))
    place_of[-1] = len(names)
    if len(has_value) < len(codes):
        names.append((NOT_SET, "not_set"))
    return Groups(names, place_of)
