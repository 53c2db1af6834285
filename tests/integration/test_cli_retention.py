"""`footfall storefront retention`."""

import pytest

from app.storage.database import DatabaseUrl
from tests.integration.commands import Footfall


def test_a_storefront_keeps_its_events_as_long_as_it_is_told(on_database: DatabaseUrl, footfall: Footfall) -> None:
    footfall("storefront", "create", "Shop")

    limited = footfall("storefront", "retention", "Shop", "400")
    shown = footfall("storefront", "list")
    unlimited = footfall("storefront", "retention", "1", "none")

    assert (limited.code, limited.out.strip()) == (0, "Shop keeps its events for 400 days.")
    assert "400 days" in shown.out
    assert (unlimited.code, unlimited.out.strip()) == (0, "Shop keeps its events for ever.")


@pytest.mark.parametrize("days", ["0", "-1", "ever", "1.5", "36501", "²"])
def test_what_is_no_number_of_days_is_refused(days: str, on_database: DatabaseUrl, footfall: Footfall) -> None:
    footfall("storefront", "create", "Shop")

    refused = footfall("storefront", "retention", "Shop", "--", days)

    assert refused.code == 1
    assert "Give a number of days from 1 to 36500, or none." in refused.text


def test_an_unknown_storefront_is_named(on_database: DatabaseUrl, footfall: Footfall) -> None:
    assert "There is no storefront 'Nobody'" in footfall("storefront", "retention", "Nobody", "10").text
