"""Clients of other makers, as their makers publish them, play a shop's journey against a running service."""

from collections import Counter
from pathlib import Path

import pytest

from tests.clients.client import Client, wait_until
from tests.clients.conftest import Shop
from tests.clients.front import standing_before

pytestmark = pytest.mark.clients

CLIENTS = (
    Client("segment_node.cjs"),
    Client("segment_python.py"),
    Client("segment_browser.cjs"),
    Client("rudder_node.cjs"),
    Client("posthog_node.cjs"),
    Client("posthog_browser.cjs"),
    Client("posthog_python.py"),
    Client("rudder_browser.cjs"),
    Client("jitsu_node.cjs", retries=False),
    Client("matomo_node.cjs", retries=False, identifies=False),
    Client("ga4.py", retries=False, identifies=False),
)
CUSTOMER = "customer-1"
JOURNEY = {
    "page_viewed": 4,
    "product_viewed": 1,
    "product_added": 1,
    "checkout_started": 1,
    "customer_identified": 1,
    "order_completed": 1,
}
STEPS = ("page_viewed", "product_viewed", "product_added", "checkout_started", "order_completed")


def parameters(clients: tuple[Client, ...]) -> list[object]:
    return [pytest.param(client, id=client.script) for client in clients]


@pytest.fixture(autouse=True)
def _installed(client: Client) -> None:
    if client.missing:
        pytest.skip(client.missing)


def play(client: Client, shop: Shop, url: str, log: Path) -> None:
    """Until the client has ended; then exactly the journey is stored, and it is all one person's."""
    wanted = Counter(JOURNEY) if client.identifies else Counter(JOURNEY) - Counter(["customer_identified"])

    def found() -> object:
        return names(shop), shop.became_of_events(), log.read_text()

    with client.playing(url, shop.key_for(client), log):
        wait_until(lambda: names(shop) == wanted, found)
    # Reports are a second behind the ledger.
    wait_until(lambda: shop.names(CUSTOMER).total() == shop.became_of_events()["stored"], found)
    assert names(shop) == wanted


def names(shop: Shop) -> Counter[str]:
    """Without the times on pages, which browsers tell when a page is left."""
    return Counter({name: count for name, count in shop.names(CUSTOMER).items() if name != "page_engaged"})


def assert_one_person_bought_for_43_80(shop: Shop) -> None:
    assert shop.stage_funnel() == [1, 1, 1, 1, 0, 0]
    assert (
        shop.funnel("page_viewed", "product_viewed", "product_added", "checkout_started", "order_completed") == [1] * 5
    )
    [euros] = shop.revenue()
    assert (euros["currency"], euros["order_count"], euros["customer_count"]) == ("EUR", 1, 1)
    assert (euros["revenue"], euros["refunds"]) == (43.8, 0)


@pytest.mark.parametrize("client", parameters(CLIENTS))
def test_a_journey_is_one_persons_from_the_first_page_to_the_order(client: Client, shop: Shop, tmp_path: Path) -> None:
    log = tmp_path / "client.log"
    play(client, shop, shop.url, log)

    assert_one_person_bought_for_43_80(shop)
    assert shop.became_of_events().keys() <= {"received", "stored", "duplicate"}
    assert not client.is_browser or log.read_text() == ""  # nothing on the page's console


@pytest.mark.parametrize("client", parameters(tuple(client for client in CLIENTS if client.retries)))
def test_nothing_is_lost_or_stored_twice_when_the_first_requests_are_refused(
    client: Client, shop: Shop, tmp_path: Path
) -> None:
    with standing_before(shop.url) as (front, url):
        play(client, shop, url, tmp_path / "client.log")

    assert len(front.refused) == 2
    assert_one_person_bought_for_43_80(shop)
    assert shop.became_of_events()["duplicate"] >= 1  # of the request that was stored and refused all the same
    assert shop.became_of_events().keys() == {"received", "stored", "duplicate"}
