"""Nothing leaves and nothing is kept before a visitor agrees, where the shop says so, nor after one does not."""

from tests.browser.conftest import Shop

OWN_NAMES = "Object.keys(localStorage).filter((name) => name.startsWith('footfall'))"


def test_events_wait_in_memory_until_the_visitor_agrees(shop: Shop) -> None:
    shop.add("/", tag="data-consent")
    page = shop.open()
    page.evaluate("footfall('product_viewed')")
    page.wait_for_timeout(1_000)

    assert page.evaluate(OWN_NAMES) == []
    assert shop.knocks() == []

    page.evaluate("footfall.consent(true)")
    shop.wait_for("page_viewed", "product_viewed")


def test_a_visitor_who_has_agreed_is_not_asked_again(shop: Shop) -> None:
    shop.add("/", tag="data-consent")
    shop.open().evaluate("footfall.consent(true)")
    shop.wait_for("page_viewed")

    shop.open()
    shop.wait_for("page_viewed", "page_viewed")


def test_a_page_left_without_an_answer_sends_nothing(shop: Shop) -> None:
    shop.add("/", tag="data-consent")
    page = shop.open()
    page.goto("about:blank")
    shop.open().evaluate("footfall.consent(true)")
    shop.wait_for("page_viewed")


def test_who_refuses_is_forgotten_and_stays_so(shop: Shop) -> None:
    page = shop.open()
    shop.wait_for("page_viewed")

    page.evaluate("footfall.consent(false); footfall('product_viewed')")
    page.reload()
    page.wait_for_function("window.footfall && !window.footfall.q")
    page.evaluate("footfall('product_added'); footfall.flush()")
    page.wait_for_timeout(500)

    assert page.evaluate(OWN_NAMES) == ["footfall consent"]
    assert shop.names() == ["page_viewed"]


def test_who_refuses_in_one_tab_is_not_tracked_in_the_other(shop: Shop) -> None:
    other = shop.open()
    page = shop.open()
    shop.wait_for("page_viewed", "page_viewed")

    page.evaluate("footfall.consent(false)")
    other.evaluate("footfall('product_viewed')")
    other.wait_for_timeout(500)

    assert other.evaluate(OWN_NAMES) == ["footfall consent"]
    assert shop.names() == ["page_viewed", "page_viewed"]


def test_who_agrees_after_all_is_a_new_visitor(shop: Shop) -> None:
    page = shop.open()
    shop.wait_for("page_viewed")
    page.evaluate("footfall.consent(false)")
    page.evaluate("footfall.consent(true); footfall('product_viewed')")
    shop.wait_for("page_viewed", "product_viewed")

    before, after = (event for event in shop.events() if event.name != "page_engaged")
    assert before.visitor_key != after.visitor_key
    assert after.seq == 1


def test_who_agrees_after_all_is_not_the_customer_of_before(shop: Shop) -> None:
    page = shop.open()
    shop.wait_for("page_viewed")

    page.evaluate("footfall.identify('ana'); footfall.consent(false); footfall.consent(true)")
    page.evaluate("footfall('product_viewed')")
    shop.wait_for("page_viewed", "product_viewed")

    assert [event.customer_key for event in shop.events() if event.name == "product_viewed"] == [None]


def test_a_refusal_counts_without_cookies_too(shop: Shop) -> None:
    shop.add("/", tag="data-cookieless")
    page = shop.open()
    shop.wait_for("page_viewed")

    page.evaluate("footfall.consent(false); footfall('product_viewed'); footfall.flush()")
    page.wait_for_timeout(500)

    assert shop.names() == ["page_viewed"]


def test_global_privacy_control_stops_everything(shop: Shop) -> None:
    shop.context.add_init_script("Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})")
    page = shop.open()

    page.evaluate("footfall('product_viewed'); footfall.identify('ana'); footfall.consent(true)")
    page.goto("about:blank")
    page.goto(shop.url)

    assert page.evaluate(OWN_NAMES) == []
    assert shop.knocks() == []


def test_do_not_track_counts_where_the_shop_says_so(shop: Shop) -> None:
    shop.context.add_init_script("Object.defineProperty(navigator, 'doNotTrack', {value: '1'})")
    shop.add("/asking", tag="data-dnt")
    shop.add("/not-asking")

    shop.open("/asking")
    shop.open("/not-asking")
    shop.wait_for("page_viewed")

    assert shop.events()[0].url == f"{shop.url}/not-asking"
