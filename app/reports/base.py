"""What a report is."""

from typing import Any, Protocol

from pydantic import BaseModel

from app.domain.storefront import Storefront
from app.mirror.scan import Scan


class Report(Protocol):
    """Three moves, always in this order: scan (which columns of which events), match, shape (numbers to answer)."""

    @property
    def name(self) -> str: ...  # URL segment and metric label

    @property
    def Params(self) -> type[BaseModel]: ...  # noqa: N802  # classes, not values

    @property
    def Result(self) -> type[BaseModel]: ...  # noqa: N802

    def run(self, params: Any, scan: Scan, storefront: Storefront) -> BaseModel:
        """Pure but for the scan. Raises errors.Invalid for parameters that contradict what the storefront has."""
        ...
