"""The statistics of the reports, against published examples and against scipy."""

import math
import warnings
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from app.domain.statistics import (
    CurvePoint,
    benjamini_hochberg,
    conversion_curve,
    nice_edges,
    odds_ratio,
    two_proportions,
    wilson_interval,
)

MINUTE, HOUR, DAY, YEAR = 60, 3_600, 86_400, 365 * 86_400

few = st.integers(0, 60)
many = st.integers(30, 5_000)


# -- two proportions ---------------------------------------------------------------------------------------------------


def test_large_groups_are_compared_by_the_z_test() -> None:
    """The polio vaccine trial of 1954: 57 cases among 200,745 vaccinated, 142 among 201,229 on placebo."""
    assert two_proportions(57, 200_745, 142, 201_229) == pytest.approx(1.855e-9, rel=1e-3)


def test_small_groups_are_compared_by_fishers_exact_test() -> None:
    """The lady tasting tea (Fisher 1935): 34 of the 70 ways to guess are no more likely than 3 of 4 right."""
    assert two_proportions(3, 4, 1, 4) == pytest.approx(34 / 70)


def test_fishers_twins() -> None:
    """Fisher 1935: 2 of 17 dizygotic and 10 of 13 monozygotic twins of convicts were convicted too."""
    assert two_proportions(2, 17, 10, 13) == pytest.approx(0.0005367, rel=1e-3)


@pytest.mark.parametrize(
    ("counts", "p_value"),
    [
        pytest.param((30, 60, 40, 70), 0.4154, id="every cell holds 30 or more: z test"),
        pytest.param((29, 60, 40, 70), 0.3789, id="a cell below 30: Fisher"),
        pytest.param((40, 69, 40, 70), 1.0, id="so also where it is a failure"),
    ],
)
def test_thirty_in_every_cell_are_enough_for_the_z_test(counts: tuple[int, int, int, int], p_value: float) -> None:
    assert two_proportions(*counts) == pytest.approx(p_value, abs=1e-4)


def test_an_empty_group_cannot_be_compared() -> None:
    assert two_proportions(0, 0, 5, 10) is None
    assert two_proportions(5, 10, 0, 0) is None


def test_groups_in_which_nobody_or_everybody_converts_do_not_differ() -> None:
    assert two_proportions(0, 1_000_000, 0, 20) == 1.0
    assert two_proportions(50, 50, 1_000, 1_000) == 1.0


def test_the_exact_test_stays_short_however_many_persons_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """About a hundred tables are looked at, where up to 2,000,000 have these margins."""
    calls = Counter[str]()

    def counted(value: float) -> float:
        calls["lgamma"] += 1
        return math.lgamma(value)

    monkeypatch.setattr("app.domain.statistics.lgamma", counted)
    assert two_proportions(29, 2_000_000, 3_000_000, 6_000_000) == 0.0
    assert two_proportions(5_015, 4_647_337, 29, 43_460) == pytest.approx(0.0078851843, rel=1e-6)
    assert calls["lgamma"] < 1_000  # four a table


@given(few, few, few, few)
def test_small_tables_as_scipys_fisher_exact(a: int, b: int, c: int, d: int) -> None:
    p_value = two_proportions(a, a + b, c, c + d)
    if not a + b or not c + d:
        assert p_value is None
    elif min(a, b, c, d) < 30:
        assert p_value == pytest.approx(stats.fisher_exact([[a, b], [c, d]]).pvalue, rel=1e-6)


@given(st.integers(0, 29), many, many, many, st.permutations(range(4)))
def test_tables_with_one_small_cell_as_scipys_fisher_exact(a: int, b: int, c: int, d: int, places: list[int]) -> None:
    cells = [(a, b, c, d)[place] for place in places]
    p_value = two_proportions(cells[0], cells[0] + cells[1], cells[2], cells[2] + cells[3])
    assert p_value == pytest.approx(stats.fisher_exact([cells[:2], cells[2:]]).pvalue, rel=1e-6, abs=1e-290)


@given(many, many, many, many)
def test_large_tables_as_scipys_chi_squared(a: int, b: int, c: int, d: int) -> None:
    expected = stats.chi2_contingency([[a, b], [c, d]], correction=False).pvalue
    assert two_proportions(a, a + b, c, c + d) == pytest.approx(expected, rel=1e-9, abs=1e-290)


# -- many tests --------------------------------------------------------------------------------------------------------


def test_p_values_are_adjusted_for_their_number() -> None:
    """The example of Benjamini and Hochberg 1995, of which they reject the first four at 5 %."""
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p_values += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    adjusted = [0.0015, 0.0030, 0.0095, 0.035625, 0.0603, 0.063857, 0.063857, 0.0645]
    adjusted += [0.0765, 0.4860, 0.581182, 0.714875, 0.753231, 0.813214, 1.0]
    assert benjamini_hochberg(p_values) == pytest.approx(adjusted, abs=1e-6)


def test_adjusted_values_keep_their_places_and_tests_that_could_not_be_made_do_not_count() -> None:
    assert benjamini_hochberg([0.04, None, 0.01]) == [0.04, None, 0.02]
    assert benjamini_hochberg([None]) == [None]
    assert benjamini_hochberg([]) == []


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.01, 0.05]), min_size=1, max_size=30))
def test_adjusted_values_as_scipys(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values), rel=1e-12)


# -- odds ratio --------------------------------------------------------------------------------------------------------


def test_odds_ratio_with_its_interval() -> None:
    """Doll and Hill 1950, men: 647 smokers and 2 others with lung cancer, 622 and 27 without."""
    assert odds_ratio(647, 2, 622, 27) == pytest.approx((14.04, 3.33, 59.30), abs=0.01)


def test_an_empty_cell_leaves_the_odds_ratio_finite() -> None:
    """(10.5 / 0.5) / (5.5 / 5.5) = 21."""
    assert odds_ratio(10, 0, 5, 5) == pytest.approx((21.0, 0.9716, 453.9), rel=1e-3)
    assert odds_ratio(0, 0, 0, 0).odds_ratio == 1.0


@given(*[st.integers(1, 10_000)] * 4)
def test_odds_ratios_as_scipys(a: int, b: int, c: int, d: int) -> None:
    expected = stats.contingency.odds_ratio([[a, b], [c, d]], kind="sample")
    interval = expected.confidence_interval(0.95)
    assert odds_ratio(a, b, c, d) == pytest.approx((expected.statistic, interval.low, interval.high), rel=1e-9)


# -- interval of a proportion ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "total", "interval"),
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (29, 29, (0.8830, 1.0)),
    ],
)
def test_interval_of_a_proportion(successes: int, total: int, interval: tuple[float, float]) -> None:
    """The first four: Newcombe 1998, table I, method 3."""
    assert wilson_interval(successes, total) == pytest.approx(interval, abs=5e-5)


def test_nobody_has_no_proportion_and_no_interval() -> None:
    assert wilson_interval(0, 0) is None


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_intervals_as_scipys_and_around_the_proportion(successes: int, failures: int) -> None:
    total = successes + failures + 1
    interval = wilson_interval(successes, total)
    expected = stats.binomtest(successes, total).proportion_ci(0.95, method="wilson")
    assert interval is not None
    assert interval == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-15)
    assert 0 <= interval[0] <= successes / total <= interval[1] <= 1


# -- conversion curve --------------------------------------------------------------------------------------------------


def curve(converted: Sequence[float], censored: Sequence[float], at: Sequence[float]) -> list[CurvePoint]:
    """The curve of single durations, as against counts per time."""
    conversions, ends = Counter(converted), Counter(censored)
    seconds = sorted({*converted, *censored})
    return conversion_curve(seconds, [conversions[time] for time in seconds], [ends[time] for time in seconds], at)


def test_conversion_curve_of_a_published_study() -> None:
    """Weeks in remission on 6-mercaptopurine (Freireich et al. 1963); survival as in every textbook since:
    0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448. Band: R's survfit(conf.type="log-log")."""
    relapsed = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    still_well = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    points = curve(relapsed, still_well, at=[6, 7, 10, 13, 16, 22, 23])
    assert [point.at_risk_count for point in points] == [21, 17, 15, 12, 11, 7, 6]
    assert [point.converted_count for point in points] == [3, 4, 5, 6, 7, 8, 9]
    ratios = [0.143, 0.193, 0.247, 0.310, 0.373, 0.462, 0.552]
    assert [point.conversion_ratio for point in points] == pytest.approx(ratios, abs=6e-4)
    assert (points[0].low_ratio, points[0].high_ratio) == pytest.approx((1 - 0.9516, 1 - 0.6197), abs=6e-5)
    assert (points[2].low_ratio, points[2].high_ratio) == pytest.approx((1 - 0.8894, 1 - 0.5032), abs=6e-5)


def test_where_all_are_observed_to_the_end_the_curve_is_the_share_converted() -> None:
    start, first, between, end = curve([10, 20], [60, 60], at=[0, 10, 15, 60])
    assert (start.at_risk_count, start.converted_count, start.conversion_ratio) == (4, 0, 0.0)
    assert (first.at_risk_count, first.converted_count, first.conversion_ratio) == (4, 1, 0.25)
    assert (between.at_risk_count, between.converted_count, between.conversion_ratio) == (3, 1, 0.25)
    assert (end.at_risk_count, end.converted_count, end.conversion_ratio) == (2, 2, 0.5)


def test_who_is_observed_until_the_time_of_a_conversion_was_still_at_risk() -> None:
    assert curve([10], [10], at=[10])[0].conversion_ratio == 0.5


def test_beyond_the_longest_observation_nothing_is_said() -> None:
    last, beyond = curve([10], [20], at=[20, 21])
    assert (last.at_risk_count, last.conversion_ratio) == (1, 0.5)
    assert beyond == CurvePoint(21, 0, 1, None, None, None)


def test_once_all_have_converted_the_ratio_stays_one_and_has_no_band() -> None:
    points = curve([10, 20], [], at=[20, 90])
    assert points == [CurvePoint(20, 1, 2, 1.0, None, None), CurvePoint(90, 0, 2, 1.0, None, None)]


def test_before_the_first_conversion_the_ratio_is_zero_and_has_no_band() -> None:
    assert curve([10], [5], at=[5]) == [CurvePoint(5, 2, 0, 0.0, None, None)]


def test_nobody_has_no_curve() -> None:
    assert curve([], [], at=[0]) == [CurvePoint(0, 0, 0, None, None, None)]


durations = st.lists(st.integers(0, 50), max_size=40)


@given(durations, durations)
def test_conversion_curve_as_scipys_empirical_distribution(converted: list[int], censored: list[int]) -> None:
    seconds = sorted({*converted, *censored})
    if not seconds:
        return
    survival = stats.ecdf(stats.CensoredData(uncensored=converted, right=censored)).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy warns where the band is undefined
        band = survival.confidence_interval(0.95, method="log-log")
    for point, remaining, low, high in zip(
        curve(converted, censored, seconds),
        survival.probabilities,
        band.low.probabilities,
        band.high.probabilities,
        strict=True,
    ):
        assert point.conversion_ratio == pytest.approx(1 - remaining, abs=1e-12)
        if point.low_ratio is None:
            assert point.converted_count == 0 or point.conversion_ratio == 1
        else:
            assert (point.low_ratio, point.high_ratio) == pytest.approx((1 - high, 1 - low), abs=1e-9)


# -- bins of a histogram -----------------------------------------------------------------------------------------------


def test_bins_of_seconds_to_days_grow() -> None:
    seconds = [0, 1, 2, 5, 10, 30]
    minutes = [1 * MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE]
    longer = [1 * HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, 1 * DAY, 2 * DAY, 7 * DAY]
    assert nice_edges(0, 7 * DAY, at_most=20) == [*seconds, *minutes, *longer]


def test_fewer_bins_are_wider_and_end_as_late() -> None:
    assert nice_edges(0, 7 * DAY, at_most=8) == [0, 5, MINUTE, 10 * MINUTE, 2 * HOUR, DAY, 7 * DAY]


def test_durations_of_about_the_same_length_get_bins_of_equal_width() -> None:
    assert nice_edges(62 * MINUTE, 118 * MINUTE, at_most=6) == [minutes * MINUTE for minutes in range(60, 121, 10)]


def test_a_single_duration_gets_one_bin() -> None:
    assert nice_edges(0, 0, at_most=20) == [0, 1]
    assert nice_edges(HOUR, HOUR, at_most=20) == [HOUR, HOUR + 1]
    assert nice_edges(0.2, 0.7, at_most=20) == [0, 1]


@given(st.floats(0, 20 * YEAR), st.floats(0, 20 * YEAR), st.integers(1, 50))
def test_bins_ascend_hold_all_durations_and_are_no_more_than_asked_for(one: float, other: float, at_most: int) -> None:
    edges = nice_edges(min(one, other), max(one, other), at_most)
    assert edges[0] <= min(one, other)
    assert edges[-1] >= max(one, other)
    assert 2 <= len(edges) <= at_most + 1
    assert edges == sorted(set(edges))
