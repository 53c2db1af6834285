"""What a chain of events must fulfil, and what is found of it, as plain columns for the compiled passes."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

# Far beyond every time and every row, and far from overflow when a time is added.
NEVER = 2**61


class Sequences(NamedTuple):
    """Events grouped by actor and in the total order within. Actor i has the positions offsets[i] to offsets[i + 1].

    row: which of the scanned events stands at a position. mask: bit k set = the event matches step k; whoever follows
    chains wants no bits beyond the steps.
    """

    offsets: Int64s
    row: Int64s
    occurred_at_us: Int64s
    mask: UInt64s


class Lanes(NamedTuple):
    """Chains stay in one lane of their actor: with `same`, the events with the same values; else all of them.

    position: those of an actor lie together, sorted by lane, then position; actor i has offsets[i] to offsets[i + 1].
    lane: by position, which lane it is in. place: by position, where `position` has it.
    Empty arrays: one lane per actor.
    """

    offsets: Int64s
    position: Int64s
    lane: Int64s
    place: Int64s


class Exclusions(NamedTuple):
    """Exclusion x forbids its events between steps after_step[x] and before_step[x] of a chain.

    position: where they stand, ascending; exclusion x has offsets[x] to offsets[x + 1].
    taint: what becomes of a chain that has one of them in it before it has come to before_step. It may go on up to the
    step limits[taint[x]], not included; the last of the limits is the number of steps and is that of a clean chain.
    """

    after_step: Int32s
    before_step: Int32s
    offsets: Int64s
    position: Int64s
    taint: Int32s
    limits: Int32s


class Rules(NamedTuple):
    """Times in microseconds. Entries lie in [start_us, end_us); the last step at most window_us after the entry.

    within_us, not_before_us, optional: one element per step, the first of which is never optional; NEVER stands for no
    `within`.
    """

    step_count: int
    start_us: int
    end_us: int
    window_us: int
    is_strict: bool
    is_any_order: bool
    counts_entries: bool
    within_us: Int64s
    not_before_us: Int64s
    optional: Bools
    exclusions: Exclusions


class Chains(NamedTuple):
    """One element per actor who entered, or per attempt.

    actor: its number in the sequences. depth: steps reached, from 1. open_until_us: the last instant at which it could
    still go further, -NEVER when an excluded event ended it. start: where the chain's `depth` positions begin in
    `position`; an optional step that was skipped is -1 there.
    """

    actor: Int64s
    depth: Int32s
    open_until_us: Int64s
    start: Int64s
    position: Int64s
