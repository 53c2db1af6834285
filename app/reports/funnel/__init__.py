"""The funnel report: how many got how far through steps drawn up on the spot, and what can be asked about it."""

from app.domain.storefront import Storefront
from app.mirror.scan import Scan
from app.reports.funnel.between import between_steps
from app.reports.funnel.breakdown import groups_of
from app.reports.funnel.compare import comparison, other_range
from app.reports.funnel.curve import curve_of, curve_until_us
from app.reports.funnel.matching import Attempts, match_funnel
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.result import FunnelResult, shape_funnel, valid_until_us
from app.reports.funnel.trend import trend_edges, trend_of, trend_until_us
from app.reports.funnel.value import Values, values_of


class FunnelReport:
    name = "funnel"
    Params = FunnelParams
    Result = FunnelResult

    def run(self, params: FunnelParams, scan: Scan, storefront: Storefront) -> FunnelResult:
        definition, other = params.definition(storefront), other_range(params, storefront)
        edges = trend_edges(definition, params.trend, storefront.time_zone) if params.trend else []
        values = values_of(params.value, scan, storefront) if params.value else None
        attempts = match_funnel(definition, scan, include_bots=params.include_bots)
        result = shape_funnel(attempts, scan, values)
        _answer_questions(result, attempts, params, scan, values)
        if edges:
            result.trend = trend_of(attempts, edges, storefront.time_zone)
            result.stays_valid_until(min(result.valid_until_us, trend_until_us(attempts, edges)))
        if other:
            del attempts  # for the room
            definition = params.model_copy(update={"range": other}).definition(storefront)
            attempts = match_funnel(definition, scan, include_bots=params.include_bots)
            result.compare = comparison(result.steps, attempts, other, values)
            result.stays_valid_until(min(result.valid_until_us, valid_until_us(attempts, scan)))
        result.events_read = scan.events_read
        return result


def _answer_questions(
    result: FunnelResult, attempts: Attempts, params: FunnelParams, scan: Scan, values: Values | None
) -> None:
    """Those that need nothing but the attempts and what their events say."""
    if params.breakdown:
        result.groups = groups_of(attempts, params.breakdown, scan, values, include_bots=params.include_bots)
    if params.between:
        result.between = [between_steps(attempts, each) for each in params.between]
    if params.curve:
        result.curve = curve_of(attempts)
        result.stays_valid_until(min(result.valid_until_us, curve_until_us(attempts)))


FUNNEL = FunnelReport()
