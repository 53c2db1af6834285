"""The stage report: the storefront's stages as one funnel, in their order."""

from typing import Annotated

from pydantic import Field

from app.domain.funnel import DEFAULT_CONVERSION_WINDOW_SECONDS, FunnelDefinition
from app.domain.stages import stage_steps
from app.domain.storefront import Storefront
from app.domain.time_range import MICROSECONDS_PER_SECOND
from app.mirror.scan import Scan
from app.reports.funnel.matching import match_funnel
from app.reports.funnel.params import CONVERSION_WINDOW_MAX_SECONDS
from app.reports.funnel.result import FunnelResult, shape_funnel
from app.reports.ranges import RangeQuery, bounds_us


class StagesParams(RangeQuery):
    """Entries into the first stage in the range; the other stages within the conversion window after."""

    conversion_window_seconds: Annotated[int, Field(ge=1, le=CONVERSION_WINDOW_MAX_SECONDS)] = (
        DEFAULT_CONVERSION_WINDOW_SECONDS
    )
    include_bots: bool = False


class StagesReport:
    name = "stages"
    Params = StagesParams
    Result = FunnelResult

    def run(self, params: StagesParams, scan: Scan, storefront: Storefront) -> FunnelResult:
        definition = FunnelDefinition(
            stage_steps(storefront.stages),
            *bounds_us(params.from_, params.to, storefront),
            params.conversion_window_seconds * MICROSECONDS_PER_SECOND,
        )
        return shape_funnel(match_funnel(definition, scan, include_bots=params.include_bots), scan)


STAGES = StagesReport()
