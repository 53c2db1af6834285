"""How strongly what attempts had goes with converting, and how sure that is."""

from collections.abc import Sequence

from pydantic import BaseModel

from app.domain.statistics import benjamini_hochberg, odds_ratio, two_proportions
from app.reports.funnel.traits import Counted, TraitKind, TraitOf, ValueKind


class Factor(BaseModel):
    """kind `event`: the person had done it. Else the property or dimension `name` of the event `of` the entry or the
    step before is `value`, lies in a range (above < number <= up_to; null: without end), or is not set.
    with_ratio: the share that has it. odds_ratio_low, odds_ratio_high: 95 % interval."""

    kind: TraitKind
    name: str
    of: TraitOf | None
    value_kind: ValueKind | None
    value: str | None
    above: float | None
    up_to: float | None
    with_count: int
    with_converted_count: int
    without_count: int
    without_converted_count: int
    with_ratio: float
    with_conversion_ratio: float
    without_conversion_ratio: float
    odds_ratio: float
    odds_ratio_low: float
    odds_ratio_high: float
    p_value: float
    p_value_adjusted: float


def factors_of(
    counted: Sequence[Counted], population_count: int, converted_count: int, min_support_count: int
) -> list[Factor]:
    """One for each trait that at least min_support_count have and as many lack."""
    most = population_count - min_support_count
    tested = [each for each in counted if min_support_count <= each.count <= most]
    p_values = [
        two_proportions(
            each.converted_count,
            each.count,
            converted_count - each.converted_count,
            population_count - each.count,
        )
        for each in tested
    ]
    return [
        _factor(each, population_count, converted_count, p_value, adjusted)
        for each, p_value, adjusted in zip(tested, p_values, benjamini_hochberg(p_values), strict=True)
        if p_value is not None and adjusted is not None
    ]


def _factor(each: Counted, population_count: int, converted_count: int, p_value: float, adjusted: float) -> Factor:
    without_count, without_converted_count = population_count - each.count, converted_count - each.converted_count
    ratio = odds_ratio(
        each.converted_count,
        each.count - each.converted_count,
        without_converted_count,
        without_count - without_converted_count,
    )
    return Factor(
        **each.trait._asdict(),
        with_count=each.count,
        with_converted_count=each.converted_count,
        without_count=without_count,
        without_converted_count=without_converted_count,
        with_ratio=each.count / population_count,
        with_conversion_ratio=each.converted_count / each.count,
        without_conversion_ratio=without_converted_count / without_count,
        odds_ratio=ratio.odds_ratio,
        odds_ratio_low=ratio.low,
        odds_ratio_high=ratio.high,
        p_value=p_value,
        p_value_adjusted=adjusted,
    )
