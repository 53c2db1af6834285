"""What the tracker sends of a visit: pages, times, clicks, and what a page tells it."""

import json
import re
from pathlib import Path

from tests.browser.conftest import INSECURE_HOST, Shop, wait_until

STUB = (Path(__file__).parents[2] / "tracker" / "stub.js").read_text()
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_a_page_view_says_where_and_who(shop: Shop) -> None:
    shop.open("/?utm_source=mail#top")
    shop.wait_for("page_viewed")

    [event] = shop.events()
    assert event.url == f"{shop.url}/?utm_source=mail"
    assert UUID7.fullmatch(event.event_id)
    assert event.visitor_key
    assert UUID7.fullmatch(event.visitor_key)
    assert (event.seq, event.customer_key, event.is_bot, event.properties) == (1, None, False, {})


def test_a_reload_is_the_same_visitor_who_goes_on_counting(shop: Shop) -> None:
    page = shop.open()
    page.reload()
    page.reload()
    shop.wait_for("page_viewed", "page_viewed", "page_viewed")

    assert len({event.visitor_key for event in shop.events()}) == 1
    seqs = [event.seq for event in shop.events()]
    assert seqs == list(range(1, len(seqs) + 1))


def test_an_event_of_the_shop_has_its_properties(shop: Shop) -> None:
    page = shop.open()

    page.evaluate("footfall('product_added', {product_id: 'hat-1', price: 19.5, products: [{sku: 'ä'}]})")
    shop.wait_for("page_viewed", "product_added")

    assert shop.events()[-1].properties == {"product_id": "hat-1", "price": 19.5, "products": [{"sku": "ä"}]}


def test_who_logs_in_is_named_from_then_on(shop: Shop) -> None:
    page = shop.open()

    page.evaluate("footfall.identify(4711, {plan: 'gold'}); footfall('cart_viewed'); footfall.identify(null)")
    page.evaluate("footfall('product_viewed')")
    shop.wait_for("page_viewed", "customer_identified", "cart_viewed", "product_viewed")

    assert [event.customer_key for event in shop.events()] == [None, "4711", "4711", None]


def test_after_a_reset_the_browser_is_a_new_visitors_and_nothing_of_before_is_lost(shop: Shop) -> None:
    page = shop.open()
    page.evaluate("footfall.identify('ana'); footfall('cart_viewed'); footfall.reset(); footfall('product_viewed')")
    shop.wait_for("page_viewed", "customer_identified", "cart_viewed", "product_viewed")
    page.reload()
    shop.wait_for("page_viewed", "customer_identified", "cart_viewed", "product_viewed", "page_viewed")

    events = [event for event in shop.events() if event.name != "page_engaged"]
    [seen] = [event for event in events if event.name == "product_viewed"]
    assert (seen.customer_key, seen.seq) == (None, 1)
    after = [event.name for event in events if event.visitor_key == seen.visitor_key]
    before = [event.name for event in events if event.visitor_key != seen.visitor_key]
    assert sorted(after) == ["page_viewed", "product_viewed"]
    assert sorted(before) == ["cart_viewed", "customer_identified", "page_viewed"]


def test_calls_made_before_a_slow_script_has_come_are_not_lost(shop: Shop) -> None:
    shop.backend.door.script_delay_seconds = 0.5
    shop.add("/", f"<script>{STUB}; footfall('product_viewed'); footfall.identify('ana')</script>")

    shop.open()
    shop.wait_for("page_viewed", "product_viewed", "customer_identified")


def test_a_page_in_a_single_page_shop_is_a_page_of_its_own(shop: Shop) -> None:
    page = shop.open("/?utm_source=a")

    page.evaluate("history.pushState({}, '', '/hats')")
    page.evaluate("history.replaceState({}, '', '/hats')")  # frameworks do this, and nothing has changed
    page.evaluate("history.pushState({}, '', '#reviews')")  # a place on the same page
    page.evaluate("history.replaceState({}, '', '/hats/1')")
    page.go_back()
    page.go_back()
    shop.wait_for(*["page_viewed"] * 5)

    viewed = [event for event in shop.events() if event.name == "page_viewed"]
    assert [event.url.removeprefix(shop.url) for event in viewed] == [
        "/?utm_source=a",
        "/hats",
        "/hats/1",
        "/hats",
        "/?utm_source=a",
    ]
    assert [event.referrer.removeprefix(shop.url) for event in viewed] == [
        "",
        "/?utm_source=a",
        "/hats",
        "/hats/1",
        "/hats",
    ]


def test_single_pages_are_left_alone_where_the_shop_says_so(shop: Shop) -> None:
    shop.add("/", tag='data-spa="off"')
    page = shop.open()

    page.evaluate("history.pushState({}, '', '/hats'); footfall('product_viewed')")
    shop.wait_for("page_viewed", "product_viewed")


def test_time_and_scroll_depth_of_each_page_are_told_as_it_is_left(shop: Shop) -> None:
    shop.add("/", "<div style='height: 4000px'>tall</div>")
    page = shop.open()
    page.evaluate("scrollTo(0, 1640)")  # of 4016 pixels, with a window of 720
    page.wait_for_timeout(200)
    page.evaluate("history.pushState({}, '', '/hats')")
    shop.wait_for("page_viewed", "page_viewed")

    [engaged] = [event for event in shop.events() if event.name == "page_engaged"]
    assert engaged.url == f"{shop.url}/"
    assert 200 <= engaged.properties["engaged_ms"] < 5_000
    assert 0.5 <= engaged.properties["scroll_ratio"] <= 0.7


def test_leaving_a_page_is_told_once(shop: Shop) -> None:
    page = shop.open()
    page.wait_for_timeout(500)
    page.goto("about:blank")
    wait_until(lambda: "page_engaged" in [event.name for event in shop.events()])

    assert [event.name for event in shop.events()] == ["page_viewed", "page_engaged"]
    assert [knock.is_beacon for knock in shop.knocks()] == [False, True]


def test_a_page_made_ready_in_advance_is_viewed_when_it_is_shown(shop: Shop) -> None:
    shop.context.add_init_script("Object.defineProperty(document, 'prerendering', {value: true})")
    page = shop.context.new_page()
    page.goto(shop.url)
    page.wait_for_timeout(500)
    assert shop.knocks() == []

    page.evaluate("document.dispatchEvent(new Event('prerenderingchange'))")
    shop.wait_for("page_viewed")


def test_a_page_out_of_the_back_forward_cache_is_viewed_again(shop: Shop) -> None:
    page = shop.open()

    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    shop.wait_for("page_viewed", "page_viewed")


def test_a_page_that_was_not_found_says_so(shop: Shop) -> None:
    shop.add("/gone", tag="data-not-found")

    shop.open("/gone")
    shop.wait_for("page_viewed")

    assert shop.events()[0].properties == {"is_not_found": True}


def test_marked_buttons_and_links_out_of_the_shop_need_no_script(shop: Shop) -> None:
    shop.add(
        "/",
        '<button data-footfall-event="product_added" data-footfall-product="0815" data-footfall-price="9.5"'
        ' data-footfall-cart-id="7" data-other="x"><b>Buy</b></button>'
        '<a id="out" href="https://maker.example/hats?token=1#a">maker</a> <a id="in" href="#reviews">reviews</a>',
    )
    page = shop.open()
    page.route("https://maker.example/**", lambda route: route.fulfill(body="maker"))

    page.click("b")
    page.click("#in")
    page.click("#out")
    shop.wait_for("page_viewed", "product_added", "link_clicked")

    added, clicked = [event for event in shop.events() if event.name in {"product_added", "link_clicked"}]
    assert added.properties == {"product_id": "0815", "price": 9.5, "cart_id": "7"}
    assert clicked.properties == {"link_url": "https://maker.example/hats"}


def test_paths_can_be_left_out(shop: Shop) -> None:
    shop.add("/admin/orders", tag='data-exclude="^/admin"')
    shop.add("/shop/admin", tag='data-exclude="^/admin"')

    shop.open("/admin/orders").evaluate("footfall('secret')")
    shop.open("/shop/admin")
    shop.wait_for("page_viewed")


def test_the_script_works_under_a_strict_content_security_policy(shop: Shop) -> None:
    host = shop.backend.service_url
    policy = f"default-src 'none'; script-src 'self' {host}; connect-src {host}; require-trusted-types-for 'script'"
    shop.add_script("/shop.js", "addEventListener('load', () => setTimeout(() => footfall('product_viewed'), 300))")
    shop.add("/", head='<script src="/shop.js"></script>', Content_Security_Policy=policy)
    page = shop.context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))

    page.goto(shop.url)
    shop.wait_for("page_viewed", "product_viewed")

    assert [text for text in complaints if "Security" in text] == []


def test_nothing_a_page_hands_over_makes_it_throw(shop: Shop) -> None:
    page = shop.open()

    for call in ("()", "(null, null)", "(1n, {n: 1n})", "('x', window)", ".identify({})", ".consent()", ".flush(1)"):
        page.evaluate(f"footfall{call}; 0")


def test_a_shop_without_https_is_served_too(shop: Shop) -> None:
    shop.url = shop.url.replace("localhost", INSECURE_HOST)
    page = shop.open()
    assert not page.evaluate("isSecureContext")

    page.evaluate("footfall('product_viewed')")
    page.reload()
    shop.wait_for("page_viewed", "product_viewed", "page_viewed")

    assert len({event.visitor_key for event in shop.events()}) == 1


def test_the_script_twice_on_a_page_counts_once(shop: Shop) -> None:
    twice = f'<script src="{shop.script_url}" data-key="{shop.write_key}"></script>'
    shop.add("/", twice)
    page = shop.open()

    page.evaluate("footfall('product_viewed')")
    shop.wait_for("page_viewed", "product_viewed")


def test_without_cookies_nothing_is_stored_and_the_service_names_the_visitor(shop: Shop) -> None:
    shop.add("/", tag="data-cookieless")
    page = shop.open()
    page.reload()
    shop.wait_for("page_viewed", "page_viewed")

    assert page.evaluate("localStorage.length") == 0
    assert page.evaluate("document.cookie") == ""
    [visitor] = {event.visitor_key for event in shop.events()}
    assert visitor
    assert re.fullmatch("day-[0-9a-f]{32}", visitor)
    assert {event.seq for event in shop.events()} == {0}


def test_requests_need_no_preflight_and_name_the_senders_clock(shop: Shop) -> None:
    shop.open()
    shop.wait_for("page_viewed")

    [knock] = shop.knocks()
    assert knock.content_type == "text/plain;charset=UTF-8"
    assert set(json.loads(knock.body)) == {"sent_at", "events"}
    assert not knock.is_beacon


def test_a_page_that_is_left_sends_a_beacon_of_less_than_sixty_kibibytes(shop: Shop) -> None:
    page = shop.open()
    shop.wait_for("page_viewed")

    page.evaluate("for (let i = 0; i < 40; i++) footfall('product_viewed', {text: 'ä'.repeat(1000)})")
    page.goto("about:blank")
    wait_until(lambda: any(knock.is_beacon for knock in shop.knocks()))

    assert all(len(knock.body) < 60 * 1024 for knock in shop.knocks())
    assert [knock.content_type for knock in shop.knocks() if knock.is_beacon] == ["text/plain;charset=UTF-8"]
