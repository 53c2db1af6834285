"""Ranges of time as a query string gives them: days where the storefront is, or instants."""

from datetime import UTC, date, datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.domain.storefront import Storefront
from app.domain.time_range import to_us
from app.errors import FieldError, Invalid

# No event lies outside, and every time between can be written in every time zone.
EARLIEST_US = to_us(datetime(1900, 1, 1, tzinfo=UTC))
LATEST_US = to_us(datetime(9999, 1, 1, tzinfo=UTC))

# A day, in the storefront's time zone, or an instant.
Moment = AwareDatetime | date


class RangeQuery(BaseModel):
    """Half-open: from <= t < to."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[Moment, Field(alias="from", description="first day or instant, e.g. 2026-11-01")]
    to: Annotated[Moment, Field(description="day or instant at which the range ends, itself not included")]


def bounds_us(from_: Moment, to: Moment, storefront: Storefront) -> tuple[int, int]:
    """Raises Invalid when nothing lies between them."""
    start_us, end_us = (min(max(_instant_us(moment, storefront), EARLIEST_US), LATEST_US) for moment in (from_, to))
    if end_us <= start_us:
        raise Invalid("The range is empty.", errors=[FieldError("`to` must be after `from`", "/query/to")])
    return start_us, end_us


def _instant_us(moment: Moment, storefront: Storefront) -> int:
    """A day begins at midnight where the storefront is."""
    if isinstance(moment, datetime):
        return to_us(moment)
    return to_us(datetime.combine(moment, time(), ZoneInfo(storefront.time_zone)))
