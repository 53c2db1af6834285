"""Days and instants that somebody asks for."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from app.domain.time_range import EARLIEST, LATEST, instant


def test_a_day_begins_at_midnight_where_the_storefront_is() -> None:
    assert instant(date(2026, 3, 2), "Europe/Berlin") == datetime(2026, 3, 1, 23, tzinfo=UTC)


def test_an_instant_is_what_it_is() -> None:
    moment = datetime(2026, 3, 2, 12, tzinfo=timezone(timedelta(hours=5)))

    assert instant(moment, "Europe/Berlin") is moment


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_days_that_no_zone_can_write_are_the_bounds(zone: str) -> None:
    assert instant(date.min, zone) == EARLIEST
    assert instant(date.max, zone) == LATEST
    assert instant(datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), zone) == EARLIEST
    assert instant(datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))), zone) == LATEST
