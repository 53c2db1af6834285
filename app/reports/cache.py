"""Answers that are still right, kept within a number of bytes; those not used for longest go first."""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self, cast

from app.domain.storefront import Storefront
from app.domain.time_range import from_us, to_us
from app.reports.base import ReportResult

OVERHEAD_BYTES = 1_000  # about, of an answer's place beside the answer


class Question(NamedTuple):
    """Everything that decides an answer, but for what is stored and the time. params: as JSON."""

    report_name: str
    storefront: Storefront
    params: str


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, packed. version: of the storefront's rows in the mirror. looked_at_us: the look it was made from."""

    packed: bytes
    version: int
    looked_at_us: int
    valid_until_us: int
    moves: bool  # its as_of is the time of the look, not one that was asked for

    @classmethod
    def of(cls, result: ReportResult, version: int, looked_at_us: int) -> Self:
        moves = to_us(result.as_of) == looked_at_us
        return cls(pickle.dumps(result), version, looked_at_us, result.valid_until_us, moves)

    def is_right(self, version: int, now_us: int) -> bool:
        """now_us: of a look that found this version."""
        return self.version == version and (now_us <= self.valid_until_us or now_us <= self.looked_at_us)

    def result(self, now_us: int) -> ReportResult:
        """The answer, for whose `as_of` the time has gone on if that changes nothing else in it."""
        found = cast(ReportResult, pickle.loads(self.packed))  # noqa: S301  # packed above, and never left the process
        if self.moves and self.looked_at_us < now_us <= self.valid_until_us:
            return found.model_copy(update={"as_of": from_us(now_us)})
        return found


class ResultCache:
    """For the event loop only: not thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Question, Kept] = OrderedDict()
        self.size_bytes = 0

    def get(self, question: Question, version: int, now_us: int) -> Kept | None:
        kept = self._kept.get(question)
        if kept is None or not kept.is_right(version, now_us):
            return None
        self._kept.move_to_end(question)
        return kept

    def put(self, question: Question, kept: Kept) -> None:
        self._drop(question)
        if _size_bytes(question, kept) > self._max_bytes:  # it would drive out all others, and then itself
            return
        self._kept[question] = kept
        self.size_bytes += _size_bytes(question, kept)
        while self.size_bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def drop_outdated(self, version_of: Callable[[int], int]) -> None:
        """Also so that nothing of an erased person stays. version_of: by storefront_id."""
        outdated = [
            question
            for question, kept in self._kept.items()
            if kept.version != version_of(question.storefront.storefront_id)
        ]
        for question in outdated:
            self._drop(question)

    def _drop(self, question: Question) -> None:
        kept = self._kept.pop(question, None)
        if kept is not None:
            self.size_bytes -= _size_bytes(question, kept)


def _size_bytes(question: Question, kept: Kept) -> int:
    return len(kept.packed) + len(question.params) + OVERHEAD_BYTES
