"""How far the numbers of a report can be trusted: tests, intervals, the conversion curve; and bins for histograms.

Intervals and bands are two-sided and cover 95 %.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, erfc, exp, expm1, lgamma, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

Z_95 = NormalDist().inv_cdf(0.975)  # 1.96 standard deviations to either side hold 95 %
SMALL_COUNT = 30  # persons in a cell; below that the normal approximation isn't used (semantics, section 3.12)
TIE_TOLERANCE = 1e-7  # in log probability: what rounding may put between two equally likely tables
NEGLIGIBLE_RATIO = 1e-17  # of a sum: below what a float can still add to it

MINUTE, HOUR, DAY, YEAR = 60, 3_600, 86_400, 365 * 86_400  # seconds
ROUND_SECONDS = (
    *(0, 1, 2, 5, 10, 30),
    *(count * MINUTE for count in (1, 2, 5, 10, 30)),
    *(count * HOUR for count in (1, 2, 6, 12)),
    *(count * DAY for count in (1, 2, 7, 14, 30, 90, 180)),
    *(count * YEAR for count in (1, 2, 5, 10, 20)),
)
SKEWED_FROM_RATIO = 10  # longest to shortest duration: from here on bins of equal width would put most into one


class OddsRatio(NamedTuple):
    odds_ratio: float
    low: float
    high: float


@dataclass(slots=True, frozen=True)
class CurvePoint:
    """The conversion curve at `seconds` after entry.

    at_risk_count: not converted and still observed just before; converted_count: converted until then, that
    instant included. conversion_ratio is None where nobody was observed that long. The band is None where it is
    undefined: while nobody has converted, and once everybody has.
    """

    seconds: float
    at_risk_count: int
    converted_count: int
    conversion_ratio: float | None
    low_ratio: float | None
    high_ratio: float | None


def two_proportions(successes_a: int, total_a: int, successes_b: int, total_b: int) -> float | None:
    """Two-sided p-value of the hypothesis that both groups convert alike; None when one of them is empty.

    The pooled two-proportion z test (Pearson 1900: its square is chi-squared without correction); Fisher's exact
    test when any of the four cells, successes or failures of either group, is below 30, and so whenever a total is.
    """
    if not total_a or not total_b:
        return None
    failures_a, failures_b = total_a - successes_a, total_b - successes_b
    if min(successes_a, failures_a, successes_b, failures_b) < SMALL_COUNT:
        return _fisher_exact(successes_a, failures_a, successes_b, failures_b)
    pooled_ratio = (successes_a + successes_b) / (total_a + total_b)
    deviation = sqrt(pooled_ratio * (1 - pooled_ratio) * (1 / total_a + 1 / total_b))
    z = (successes_a / total_a - successes_b / total_b) / deviation
    return erfc(abs(z) / sqrt(2))


def _fisher_exact(a: int, b: int, c: int, d: int) -> float:
    """Probability of the tables with the margins of [[a, b], [c, d]] that are no more likely than it (Fisher 1935).

    Cost: with one cell below 30, about a hundred tables however large the others are, as each of the two tails is
    summed from its most likely table outwards until nothing more adds to it. Relative error below 1e-6 up to
    10^8 persons (that of log gamma).
    """
    row, other_row, column, other_column = a + b, c + d, a + c, b + d
    margins = lgamma(row + 1) + lgamma(other_row + 1) + lgamma(column + 1) + lgamma(other_column + 1)
    constant = margins - lgamma(row + other_row + 1)

    def log_probability(cell: int) -> float:
        """Of the table with `cell` in the place of a."""
        cells = lgamma(cell + 1) + lgamma(row - cell + 1) + lgamma(column - cell + 1) + lgamma(d - a + cell + 1)
        return constant - cells

    least, most = max(0, a - d), min(row, column)
    likeliest = (row + 1) * (column + 1) // (row + other_row + 2)
    limit = log_probability(a) + TIE_TOLERANCE
    if log_probability(likeliest) <= limit:
        return 1.0
    rising, falling = range(least, likeliest), range(likeliest, most + 1)
    left = rising[: bisect_right(rising, limit, key=log_probability)]
    right = falling[bisect_left(falling, -limit, key=lambda cell: -log_probability(cell)) :]
    return min(1.0, _tail(reversed(left), log_probability) + _tail(right, log_probability))


def _tail(cells: Iterable[int], log_probability: Callable[[int], float]) -> float:
    """Sum of the probabilities of cells that become less and less likely."""
    total = 0.0
    for cell in cells:
        probability = exp(log_probability(cell))
        total += probability
        if probability <= total * NEGLIGIBLE_RATIO:
            break
    return total


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted for their number, in the order given (Benjamini and Hochberg 1995, step-up).

    Of the tests whose adjusted value is at most q, a share of q is expected to be false alarms. None, a test that
    couldn't be made, stays None and isn't counted.
    """
    known = [(p_value, index) for index, p_value in enumerate(p_values) if p_value is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    smallest = 1.0
    for rank, (p_value, index) in reversed(list(enumerate(sorted(known), start=1))):
        smallest = min(smallest, p_value * len(known) / rank)
        adjusted[index] = smallest
    return adjusted


def odds_ratio(a: int, b: int, c: int, d: int) -> OddsRatio:
    """Odds ratio (a / b) / (c / d) of the table [[a, b], [c, d]] with its 95 % interval (Woolf 1955, logit).

    Rows: with and without the trait; columns: converted or not. Above 1: the trait goes with converting. When a cell
    is 0, a half is added to each of the four (Haldane 1956, Anscombe 1956), so that the answer is always finite.
    """
    half = 0.0 if a and b and c and d else 0.5
    cells = (a + half, b + half, c + half, d + half)
    log_ratio = log(cells[0]) + log(cells[3]) - log(cells[1]) - log(cells[2])
    margin = Z_95 * sqrt(sum(1 / cell for cell in cells))
    return OddsRatio(exp(log_ratio), exp(log_ratio - margin), exp(log_ratio + margin))


def wilson_interval(successes: int, total: int) -> tuple[float, float] | None:
    """95 % interval (low, high) of a proportion, by its score (Wilson 1927); None when total is 0.

    Good for small totals and for proportions near 0 and 1; always within [0, 1] and around successes / total.
    """
    if not total:
        return None
    ratio = successes / total
    weight = Z_95**2 / total
    centre = (ratio + weight / 2) / (1 + weight)
    margin = sqrt(ratio * (1 - ratio) * weight + weight**2 / 4) / (1 + weight)
    # at 0 and 1 an end of the interval is the ratio itself, but for rounding
    return max(0.0, min(ratio, centre - margin)), min(1.0, max(ratio, centre + margin))


def conversion_curve(
    seconds: Sequence[float], converted: Sequence[int], censored: Sequence[int], at: Sequence[float]
) -> list[CurvePoint]:
    """Share converted by time since entry, where some could be observed for a short while only: 1 - Kaplan-Meier.

    seconds: distinct times since entry, ascending; converted, censored: how many converted then, and how many
    were observed until then without converting (one number per time). at: times to answer for, ascending, one
    CurvePoint each. Of the same time, conversions come before the ends of observations. A million distinct times
    take well under a second; plain lists are faster than numpy arrays.

    Estimate: Kaplan and Meier 1958; variance: Greenwood 1926; 95 % band for each time by itself, on the log-log
    scale: Kalbfleisch and Prentice 1980.
    """
    at_risk = sum(converted) + sum(censored)
    index = converted_count = 0
    remaining_ratio, variance = 1.0, 0.0  # variance: Greenwood's sum, that of log(remaining_ratio)
    points = []
    for moment in at:
        while index < len(seconds) and seconds[index] <= moment:
            events = converted[index]
            if events:
                converted_count += events
                remaining_ratio *= 1 - events / at_risk
                variance += events / (at_risk * (at_risk - events)) if events < at_risk else 0.0
            at_risk -= events + censored[index]
            index += 1
        just_gone = converted[index - 1] + censored[index - 1] if index and seconds[index - 1] == moment else 0
        points.append(_curve_point(moment, at_risk + just_gone, converted_count, remaining_ratio, variance))
    return points


def _curve_point(seconds: float, at_risk: int, converted: int, remaining_ratio: float, variance: float) -> CurvePoint:
    if remaining_ratio == 0:
        return CurvePoint(seconds, at_risk, converted, 1.0, None, None)
    if not at_risk:
        return CurvePoint(seconds, at_risk, converted, None, None, None)
    if not converted:
        return CurvePoint(seconds, at_risk, converted, 0.0, None, None)
    log_remaining = log(remaining_ratio)
    spread = exp(Z_95 * sqrt(variance) / -log_remaining)
    low_ratio, high_ratio = -expm1(log_remaining / spread), -expm1(log_remaining * spread)
    return CurvePoint(seconds, at_risk, converted, 1 - remaining_ratio, low_ratio, high_ratio)


def nice_edges(values_min: float, values_max: float, at_most: int) -> list[int]:
    """Boundaries, in seconds, of at most `at_most` histogram bins that hold durations of values_min to values_max.

    Round numbers of seconds, minutes, hours and so on: of equal width where the durations are alike, else wider
    and wider. Bins are half-open but for the last, which includes its end (as numpy.histogram does). Durations
    are at most 20 years.
    """
    if values_max <= values_min * SKEWED_FROM_RATIO:
        return _equal_edges(values_min, values_max, at_most)
    first, last = bisect_right(ROUND_SECONDS, values_min) - 1, bisect_left(ROUND_SECONDS, values_max)
    step = ceil((last - first) / at_most)
    return [*ROUND_SECONDS[first:last:step], ROUND_SECONDS[last]]


def _equal_edges(values_min: float, values_max: float, at_most: int) -> list[int]:
    for width in ROUND_SECONDS[1:]:
        first = int(values_min // width)
        last = max(ceil(values_max / width), first + 1)
        if last - first <= at_most:
            break
    return [number * width for number in range(first, last + 1)]
