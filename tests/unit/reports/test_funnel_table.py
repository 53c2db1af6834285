"""The funnel's answer as one table: which rows there are, and what they begin with."""

from tests.journeys import DAY, journey
from tests.unit.reports.asking import ADDED, VIEWED, ask, range_of
from tests.unit.reports.journey_mirror import JourneyMirror


def test_the_whole_the_groups_and_the_periods_have_rows_for_each_step(mirror: JourneyMirror) -> None:
    events = [*journey("ana", (0, VIEWED, {"device": "phone"}), (1, ADDED)), *journey("ben", (DAY, VIEWED))]
    result = ask(
        mirror, events, VIEWED, ADDED, breakdown={"property": "device"}, trend="day", range=range_of(0, 2 * DAY)
    )
    names = ("group", "group_kind", "period_start", "complete", "step_number", "label", "reached_count")
    table = result.table()
    assert set(names) <= set(table.columns)
    first, second = (period.period_start for period in result.trend or [])
    assert [tuple(row[name] for name in names) for row in table.rows] == [
        (None, None, None, None, 1, VIEWED, 2),
        (None, None, None, None, 2, ADDED, 1),
        ("phone", "value", None, None, 1, VIEWED, 1),
        ("phone", "value", None, None, 2, ADDED, 1),
        ("(not set)", "not_set", None, None, 1, VIEWED, 1),
        ("(not set)", "not_set", None, None, 2, ADDED, 0),
        (None, None, first, True, 1, VIEWED, 1),
        (None, None, first, True, 2, ADDED, 1),
        (None, None, second, True, 1, VIEWED, 1),
        (None, None, second, True, 2, ADDED, 0),
    ]
