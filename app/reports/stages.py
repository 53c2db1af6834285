"""The stage report: the storefront's stages as one funnel, in their order."""

from datetime import date, datetime, time
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from app.domain.funnel import DEFAULT_CONVERSION_WINDOW_SECONDS, FunnelDefinition
from app.domain.stages import stage_steps
from app.domain.storefront import Storefront
from app.domain.time_range import MICROSECONDS_PER_SECOND, to_us
from app.errors import FieldError, Invalid
from app.mirror.scan import Scan
from app.reports.funnel_match import match_funnel
from app.reports.funnel_params import CONVERSION_WINDOW_MAX_SECONDS
from app.reports.funnel_result import FunnelResult, shape_funnel

# A day, in the storefront's time zone, or an instant.
Moment = AwareDatetime | date


class StagesParams(BaseModel):
    """Half-open: from <= t < to."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[Moment, Field(alias="from", description="first day or instant, e.g. 2026-11-01")]
    to: Annotated[Moment, Field(description="day or instant at which the range ends, itself not included")]
    conversion_window_seconds: Annotated[int, Field(ge=1, le=CONVERSION_WINDOW_MAX_SECONDS)] = (
        DEFAULT_CONVERSION_WINDOW_SECONDS
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if type(self.from_) is type(self.to) and self.to <= self.from_:
            raise ValueError("`to` must be after `from`")
        return self


class StagesReport:
    name = "stages"
    Params = StagesParams
    Result = FunnelResult

    def run(self, params: StagesParams, scan: Scan, storefront: Storefront) -> FunnelResult:
        start_us, end_us = _instant_us(params.from_, storefront), _instant_us(params.to, storefront)
        if end_us <= start_us:
            raise Invalid("The range is empty.", errors=[FieldError("`to` must be after `from`", "/query/to")])
        definition = FunnelDefinition(
            stage_steps(storefront.stages),
            start_us,
            end_us,
            params.conversion_window_seconds * MICROSECONDS_PER_SECOND,
        )
        return shape_funnel(definition, match_funnel(definition, scan), scan)


STAGES = StagesReport()


def _instant_us(moment: Moment, storefront: Storefront) -> int:
    """A day begins at midnight where the storefront is."""
    if isinstance(moment, datetime):
        return to_us(moment)
    return to_us(datetime.combine(moment, time(), ZoneInfo(storefront.time_zone)))
