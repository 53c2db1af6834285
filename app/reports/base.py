"""What a report is, and what its answers have in common."""

from typing import Any, Protocol, Self

from pydantic import AwareDatetime, BaseModel, PrivateAttr

from app.domain.storefront import Storefront
from app.mirror.scan import Scan
from app.reports.tables import Table

NEVER_US = 2**62  # later than any time


class ReportResult(BaseModel):
    """as_of: every event stored before it is in. events_read: by the report's scans. seconds: to work it out."""

    as_of: AwareDatetime
    events_read: int
    seconds: float = 0.0
    # Not set: the answer is right at its own as_of only.
    _valid_until_us: int = PrivateAttr(default=-NEVER_US)

    @property
    def valid_until_us(self) -> int:
        """Until then, itself included, the answer stays the same if nothing is stored or erased."""
        return self._valid_until_us

    def stays_valid_until(self, us: int) -> Self:
        """us: NEVER_US when time alone changes nothing in the answer. Answers that do not say are never used again."""
        self._valid_until_us = us
        return self

    def table(self) -> Table:
        """The whole answer as one table, for exports."""
        raise NotImplementedError


class Report(Protocol):
    """Three moves, always in this order: scan (which columns of which events), match, shape (numbers to answer)."""

    @property
    def name(self) -> str: ...  # URL segment, metric label and name of exported files

    @property
    def Params(self) -> type[BaseModel]: ...  # noqa: N802  # classes, not values

    @property
    def Result(self) -> type[ReportResult]: ...  # noqa: N802

    def run(self, params: Any, scan: Scan, storefront: Storefront) -> Any:
        """Returns a Result. Pure but for the scan: parameters, storefront and what the mirror holds decide it, and
        scan.as_of_us is the time. Raises errors.Invalid for parameters that contradict what the storefront has."""
        ...
