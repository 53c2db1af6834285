"""Nothing is lost that could be kept, and nothing is stored twice, whatever happens to page, browser and service."""

from collections import Counter

import pytest

from tests.browser.conftest import Shop, wait_until
from tests.browser.door import REFUSALS, RETRY_AFTER_SECONDS, Mode


def test_events_of_an_offline_page_arrive_once_it_is_online_again(shop: Shop) -> None:
    page = shop.open()
    shop.wait_for("page_viewed")

    shop.context.set_offline(True)
    page.evaluate("footfall('product_viewed'); footfall('product_added')")
    page.wait_for_timeout(1_000)  # it has tried
    shop.context.set_offline(False)
    shop.wait_for("page_viewed", "product_viewed", "product_added")


@pytest.mark.parametrize("refusal", REFUSALS)
def test_events_wait_as_long_as_a_service_asks_for_that_refuses_them(shop: Shop, refusal: Mode) -> None:
    shop.set_door(refusal)
    page = shop.open()
    page.evaluate("footfall('product_viewed')")
    wait_until(lambda: len(shop.knocks()) == 2)
    shop.set_door(Mode.OPEN)
    shop.wait_for("page_viewed", "product_viewed")

    first, second, third = (knock.at for knock in shop.knocks())
    assert second - first >= RETRY_AFTER_SECONDS
    assert third - second >= RETRY_AFTER_SECONDS


def test_a_reload_does_not_make_an_unavailable_service_be_asked_sooner(shop: Shop) -> None:
    shop.set_door(Mode.UNAVAILABLE)
    page = shop.open()
    wait_until(lambda: len(shop.knocks()) == 1)
    page.wait_for_function("localStorage['footfall wait']")
    page.reload()
    wait_until(lambda: len(shop.knocks()) == 2)
    shop.set_door(Mode.OPEN)
    shop.wait_for("page_viewed", "page_viewed")

    first, second, *_ = (knock.at for knock in shop.knocks())
    assert second - first >= RETRY_AFTER_SECONDS


def test_events_survive_a_closed_tab_while_the_service_is_unavailable(shop: Shop) -> None:
    shop.set_door(Mode.UNAVAILABLE)
    page = shop.open()
    page.evaluate("footfall('product_added'); footfall('order_completed', {order_id: '7'})")
    shop.close(page)
    shop.set_door(Mode.OPEN)

    shop.open()
    shop.wait_for("page_viewed", "product_added", "order_completed", "page_viewed")


def test_a_batch_whose_reply_was_lost_with_its_tab_is_stored_once(shop: Shop) -> None:
    shop.set_door(Mode.SILENT)
    page = shop.open()
    page.evaluate("footfall('product_added')")
    wait_until(lambda: "product_added" in shop.names() or len(shop.knocks()) > 0)
    shop.close(page)
    shop.set_door(Mode.OPEN)

    shop.open()
    shop.wait_for("page_viewed", "product_added", "page_viewed")
    arrived = Counter(event["event_id"] for knock in shop.knocks() for event in knock.events)
    assert max(arrived.values()) > 1  # it was sent again


def test_an_order_arrives_though_the_page_is_left_at_once(shop: Shop) -> None:
    page = shop.open()

    page.evaluate("footfall('order_completed', {order_id: '7'}); location.href = 'about:blank'")
    shop.wait_for("page_viewed", "order_completed")


def test_an_order_arrives_though_the_tab_is_closed_at_once(shop: Shop) -> None:
    page = shop.open()

    page.evaluate("footfall('order_completed', {order_id: '7'})")
    shop.close(page)
    shop.wait_for("page_viewed", "order_completed")


def test_what_a_beacon_took_is_stored_once_though_the_next_page_sends_it_too(shop: Shop) -> None:
    page = shop.open()
    for _ in range(3):
        page.evaluate("footfall('product_viewed')")
        page.reload()
    shop.wait_for(*["page_viewed"] * 4, *["product_viewed"] * 3)

    seqs = [event.seq for event in shop.events()]
    assert sorted(seqs) == list(range(1, len(seqs) + 1))


def test_two_tabs_do_not_send_what_waits_twice(shop: Shop) -> None:
    shop.set_door(Mode.UNAVAILABLE)
    tabs = [shop.open(), shop.open()]
    for number in range(10):
        tabs[number % 2].evaluate("footfall('product_viewed')")
    shop.set_door(Mode.OPEN)
    shop.wait_for("page_viewed", "page_viewed", *["product_viewed"] * 10)

    taken = [knock for knock in shop.knocks() if knock.mode is Mode.OPEN]
    sent = Counter(event["event_id"] for knock in taken for event in knock.events)
    assert set(sent.values()) == {1}
    assert len({event.visitor_key for event in shop.events()}) == 1


def test_of_too_many_events_the_oldest_go_and_leave_a_gap_in_the_count(shop: Shop) -> None:
    page = shop.open()
    shop.wait_for("page_viewed")
    shop.context.set_offline(True)
    # Of those within a millisecond none is the oldest.
    page.evaluate("""
        for (let i = 0; i < 20; i++) {
            footfall('product_viewed', {text: 'x'.repeat(19000)});
            for (const start = performance.now(); performance.now() < start + 2;);
        }
    """)
    kept = page.evaluate("Object.values(localStorage).join('').length")
    shop.context.set_offline(False)
    shop.wait_for("page_viewed", *["product_viewed"] * 12)

    assert kept <= 250_000
    seqs = {event.seq for event in shop.events()}
    assert max(seqs) == 21
    assert set(range(1, 22)) - seqs == set(range(2, 10))


def test_an_event_too_large_for_any_request_does_not_hold_up_the_others(shop: Shop) -> None:
    page = shop.open()

    page.evaluate("footfall('huge', {text: 'x'.repeat(70000)}); footfall('product_viewed')")
    shop.wait_for("page_viewed", "product_viewed")


def test_a_refused_event_is_not_sent_again(shop: Shop) -> None:
    page = shop.open()
    shop.wait_for("page_viewed")

    page.evaluate("footfall('n'.repeat(101))")
    wait_until(lambda: len(shop.knocks()) == 2)
    page.evaluate("footfall('product_viewed')")
    shop.wait_for("page_viewed", "product_viewed")

    assert [len(knock.events) for knock in shop.knocks()] == [1, 1, 1]


def test_a_shop_that_has_filled_the_storage_loses_nothing(shop: Shop) -> None:
    page = shop.open()
    page.evaluate(
        "for (let i = 0, n = 2 ** 20; n >= 1; ) try { localStorage['x' + i++] = 'x'.repeat(n) } catch { n /= 2 }"
    )

    page.evaluate("footfall('product_viewed'); footfall('product_added')")
    shop.wait_for("page_viewed", "product_viewed", "product_added")
