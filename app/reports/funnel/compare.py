"""The same funnel in another range, beside the one that was asked for."""

from pydantic import BaseModel

from app.domain.periods import local, range_before
from app.domain.statistics import two_proportions
from app.domain.storefront import Storefront
from app.domain.time_range import to_us
from app.errors import FieldError, Invalid
from app.reports.funnel.matching import Attempts
from app.reports.funnel.params import FunnelParams, RangeParams
from app.reports.funnel.steps import FunnelStep, funnel_steps
from app.reports.funnel.times import Durations
from app.reports.funnel.value import Values


class Comparison(BaseModel):
    """conversion_ratio_change: this funnel's conversion ratio less that of the other range. p_value: the probability
    of at least such a difference if nothing had changed. Both are null where nobody entered."""

    range: RangeParams
    steps: list[FunnelStep]
    seconds_to_convert: Durations | None
    conversion_ratio_change: float | None
    p_value: float | None


def other_range(params: FunnelParams, storefront: Storefront) -> RangeParams | None:
    """None when there is nothing to compare with. Raises Invalid when there is nothing before the range."""
    if params.compare is None or isinstance(params.compare, RangeParams):
        return params.compare
    before = range_before(to_us(params.range.start), to_us(params.range.end), storefront.time_zone)
    if before is None:
        fault = FieldError("There is no time before this range; give `start` and `end`.", "/compare")
        raise Invalid("There is nothing to compare with.", errors=[fault])
    start_us, end_us = before
    return RangeParams(start=local(start_us, storefront.time_zone), end=local(end_us, storefront.time_zone))


def comparison(steps: list[FunnelStep], other: Attempts, range_: RangeParams, values: Values | None) -> Comparison:
    """steps: of the funnel that was asked for. other: those who entered in the other range."""
    other_steps = funnel_steps(other, values)
    ratio, other_ratio = steps[-1].conversion_ratio, other_steps[-1].conversion_ratio
    return Comparison(
        range=range_,
        steps=other_steps,
        seconds_to_convert=other_steps[-1].seconds_from_entry,
        conversion_ratio_change=None if ratio is None or other_ratio is None else ratio - other_ratio,
        p_value=two_proportions(
            steps[-1].reached_count, steps[0].reached_count, other_steps[-1].reached_count, other_steps[0].reached_count
        ),
    )
