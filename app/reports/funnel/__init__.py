"""The funnel report: how many got how far through steps drawn up on the spot, and what can be asked about it."""

from app.domain.storefront import Storefront
from app.mirror.scan import Scan
from app.reports.funnel.matching import match_funnel
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.result import FunnelResult, shape_funnel


class FunnelReport:
    name = "funnel"
    Params = FunnelParams
    Result = FunnelResult

    def run(self, params: FunnelParams, scan: Scan, storefront: Storefront) -> FunnelResult:
        definition = params.definition(storefront.stages)
        return shape_funnel(definition, match_funnel(definition, scan, include_bots=params.include_bots), scan)


FUNNEL = FunnelReport()
