"""Ranges of time as a query string gives them: days where the storefront is, or instants."""

from datetime import date
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.domain.storefront import Storefront
from app.domain.time_range import instant, to_us
from app.errors import FieldError, Invalid

# A day, in the storefront's time zone, or an instant.
Moment = AwareDatetime | date


class RangeQuery(BaseModel):
    """Half-open: from <= t < to."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[Moment, Field(alias="from", description="first day or instant, e.g. 2026-11-01")]
    to: Annotated[Moment, Field(description="day or instant at which the range ends, itself not included")]


def bounds_us(from_: Moment, to: Moment, storefront: Storefront, place: str = "/query") -> tuple[int, int]:
    """Raises Invalid when nothing lies between them. place: where they stand in the request, as a pointer."""
    start_us, end_us = (to_us(instant(moment, storefront.time_zone)) for moment in (from_, to))
    if end_us <= start_us:
        raise Invalid("The range is empty.", errors=[FieldError("`to` must be after `from`", f"{place}/to")])
    return start_us, end_us
