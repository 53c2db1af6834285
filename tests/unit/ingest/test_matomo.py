"""What a Matomo hit says in our words, wherever its parameters stand, and nothing lost of what was recorded."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from app.domain.context import Sender
from app.domain.event import Event, Trust
from app.domain.outcome import Outcome, Rejection, RejectReason
from app.errors import TooLarge, Unreadable
from app.ingest.formats.base import IngestResult, RequestContext
from app.ingest.formats.matomo import MATOMO, PIXEL
from app.ingest.formats.matomo_words import EVENT_NAMES, LEFT_OUT, PAGE_PRODUCT_NAMES, PROPERTY_NAMES
from tests.events import NOW
from tests.recordings import recorded

DOCUMENTED = Path(__file__).parents[3] / "docs" / "clients" / "matomo.md"
VISITOR = "0123456789abcdef"
PAGE = "https://tea.example/green"
HIT = {"idsite": "7", "rec": "1", "_id": VISITOR, "url": PAGE}


def context(query: dict[str, str] | None = None, max_events: int = 1_000) -> RequestContext:
    return RequestContext(1, Trust.BROWSER, NOW, "", max_events=max_events, query=query or {})


def hit(**parameters: str) -> Event:
    [event] = MATOMO.decode(b"", context({**HIT, **parameters})).events
    return event


def bulk(*requests: object) -> bytes:
    return json.dumps({"requests": requests}).encode()


def refusals(body: bytes) -> list[tuple[str, str]]:
    return [(rejection.reason, rejection.pointer) for rejection in MATOMO.decode(body, context()).rejections]


# -- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "query", "key"),
    [
        (b"", {"idsite": "7"}, "7"),
        (b"idsite=8&rec=1", {}, "8"),
        (b'{"requests": ["?idsite=9&rec=1", "?idsite=9"]}', {}, "9"),
        (b'{"requests": [{"idsite": 9}], "token_auth": "of Matomo"}', {}, "9"),
        (b'{"requests": ["?idsite=9"], "token_auth": "ff_server_x"}', {}, "ff_server_x"),
        (b'{"requests": ["?idsite=9", "?idsite=9&token_auth=ff_server_x"]}', {}, "ff_server_x"),
        (b'{"requests": ["?idsite=9&token_auth=of+Matomo"]}', {}, "9"),
        (b"idsite=8&token_auth=ff_server_x", {}, "ff_server_x"),
        (b"", {"idsite": "7", "token_auth": "ff_server_x"}, "7"),
        (b'{"requests": 5}', {}, None),
        (b"", {}, None),
    ],
)
def test_the_site_is_the_key_unless_the_body_holds_one_of_ours(
    body: bytes, query: dict[str, str], key: str | None
) -> None:
    assert MATOMO.key(body, query) == key


def test_a_token_is_not_kept() -> None:
    decoded = MATOMO.decode(urlencode({**HIT, "token_auth": "secret"}).encode(), context())

    assert decoded.events[0].properties == {}
    assert b"secret" not in decoded.raws()[0]


# -- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "event_name", "properties"),
    [
        ({"action_name": "Teas"}, "page_viewed", {"title": "Teas"}),
        ({"_pks": "A-1", "_pkp": "4.2"}, "product_viewed", {"product_id": "A-1", "price": 4.2}),
        ({"_pkc": "Green"}, "product_list_viewed", {"category": "Green"}),
        ({"search": "cups", "search_count": "0"}, "product_searched", {"query": "cups", "search_count": 0}),
        ({"link": "https://uji.example/"}, "link_clicked", {"link_url": "https://uji.example/"}),
        ({"download": "/list.pdf"}, "file_downloaded", {"link_url": "/list.pdf"}),
        ({"c_n": "Sale", "c_p": "a.png"}, "promotion_viewed", {"promotion_name": "Sale", "creative_name": "a.png"}),
        ({"c_n": "Sale", "c_i": "click"}, "promotion_clicked", {"promotion_name": "Sale", "interaction": "click"}),
        ({"idgoal": "3", "revenue": "5"}, "goal_reached", {"goal_id": "3", "value": 5}),
        ({"ping": "1"}, "page_engaged", {}),
        ({"ca": "1", "ma_ti": "Film"}, "custom_action", {"ma_ti": "Film"}),
        ({"dimension3": "b", "new": "x"}, "page_viewed", {"dimension3": "b", "new": "x"}),
    ],
)
def test_a_hit_is_the_event_that_its_parameters_mean(
    parameters: dict[str, str], event_name: str, properties: dict[str, object]
) -> None:
    event = hit(**parameters)

    assert (event.event_name, event.properties) == (event_name, properties)
    assert (event.visitor_key, event.url) == (VISITOR, PAGE)


@pytest.mark.parametrize(
    ("category", "action", "event_name"),
    [
        ("Checkout", "Started", "checkout_started"),
        ("product", "added", "product_added"),
        ("Tea quiz", "Finished", "Tea quiz Finished"),
        ("x" * 60, "y" * 60, "x" * 60 + " " + "y" * 39),
    ],
)
def test_category_and_action_together_name_an_event(category: str, action: str, event_name: str) -> None:
    event = hit(e_c=category, e_a=action, e_n="Spring", e_v="7.5", ca="1")

    assert event.event_name == event_name
    assert event.properties == {
        "event_category": category,
        "event_action": action,
        "event_label": "Spring",
        "event_value": 7.5,
    }


def test_an_order_has_its_amounts_as_numbers_and_its_products() -> None:
    items = '[["A-1","Sencha",["Green","Japan"],4.2,2],["B-2","","",0,"1"],["C-3"]]'

    event = hit(idgoal="0", ec_id="8012", revenue="13.30", ec_tx="2.1", ec_sh="free", ec_items=items, _pks="A-1")

    assert event.event_name == "order_completed"
    assert event.properties == {
        "order_id": "8012",
        "value": 13.3,
        "tax": 2.1,
        "shipping": "free",
        "products": [
            {"product_id": "A-1", "name": "Sencha", "category": ["Green", "Japan"], "price": 4.2, "quantity": 2},
            {"product_id": "B-2", "price": 0, "quantity": 1},
            {"product_id": "C-3"},
        ],
    }


def test_an_order_whose_products_can_t_be_read_is_kept_with_what_was_sent() -> None:
    event = hit(idgoal="0", ec_id="8012", revenue="13.3", ec_items='[["A-1"')

    assert event.properties == {"order_id": "8012", "value": 13.3, "ec_items": '[["A-1"'}


def test_a_cart_is_an_order_without_a_number_and_may_be_empty() -> None:
    event = hit(idgoal="0", revenue="0", ec_items="[]", _pks="A-1")

    assert (event.event_name, event.properties) == ("cart_updated", {"value": 0, "products": []})


def test_custom_variables_are_properties_that_give_way_to_ours() -> None:
    event = hit(
        action_name="Teas", cvar='{"1":["taste","umami"],"2":["title","mine"],"3":"odd"}', _cvar='{"1":["a",1]}'
    )

    assert event.properties == {"taste": "umami", "title": "Teas", "a": 1}


def test_clients_before_version_4_tell_of_the_page_s_product_by_custom_variables() -> None:
    cvar = '{"2":["_pkp",4.2],"3":["_pks","A-1"],"4":["_pkn","Sencha"],"5":["_pkc","Green"]}'

    event = hit(action_name="Sencha", cvar=cvar)

    product = {"product_id": "A-1", "name": "Sencha", "category": "Green", "price": 4.2}
    assert (event.event_name, event.properties) == ("product_viewed", {"title": "Sencha", **product})


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("Green", "Green"), ('["Green"]', "Green"), ('["Green","Japan"]', ["Green", "Japan"]), ("[", "[")],
)
def test_a_page_s_category_is_one_or_several(sent: str, kept: object) -> None:
    assert hit(_pkc=sent).properties == {"category": kept}


@pytest.mark.parametrize("cdt", ["2026-03-02 11:30:00", "2026-03-02T11:30:00Z", "1772451000"])
def test_cdt_is_the_time_of_the_event_in_utc(cdt: str) -> None:
    client_time = hit(cdt=cdt).client_time

    assert client_time is not None
    assert client_time.isoformat() == "2026-03-02T11:30:00+00:00"


def test_the_visitor_s_local_clock_is_no_time() -> None:
    assert hit(h="23", m="59", s="59").client_time is None


def test_a_hit_says_who_and_on_what() -> None:
    event = hit(
        uid="customer-31", cid="fedcba9876543210", ua="Till/1", lang="de", country="de", urlref="https://a.example/"
    )

    assert (event.visitor_key, event.customer_key) == ("fedcba9876543210", "customer-31")
    assert event.referrer == "https://a.example/"
    assert event.sender == Sender("Till/1", "de", "de")


def test_a_browser_without_an_id_gets_a_key_for_the_day_that_quarantine_keeps() -> None:
    nobody = {"idsite": "7", "rec": "1", "url": PAGE}
    asked = context(nobody)
    asked.cookieless_key = lambda: "day-1"
    decoded = MATOMO.decode(b"", asked)

    [again] = MATOMO.decode(decoded.raws()[0], context()).events
    assert decoded.events[0].visitor_key == again.visitor_key == "day-1"


# -- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [{"r": "271828"}, {"rand": "5"}, {"cdt": "1772451000"}, {"ec_id": "8012"}])
def test_a_hit_that_something_tells_from_others_has_the_same_id_when_it_is_sent_again(apart: dict[str, str]) -> None:
    first, again, other = hit(**apart), hit(**apart, send_image="0"), hit(**apart, action_name="Other")

    assert first.event_id == again.event_id != other.event_id


def test_a_hit_without_any_of_these_is_never_the_same_as_another_one() -> None:
    assert hit().event_id != hit().event_id


def test_equal_hits_of_one_bulk_are_told_apart() -> None:
    request = f"?{urlencode({**HIT, 'cdt': '1772451000'})}"

    assert len({event.event_id for event in MATOMO.decode(bulk(*[request] * 3), context()).events}) == 3


# -- requests --------------------------------------------------------------------------------------------------------


def test_the_same_hit_is_the_same_event_wherever_its_parameters_stand() -> None:
    sent = {**HIT, "r": "5", "action_name": "Grüner Tee"}
    forms = [
        MATOMO.decode(b"", context(sent)),
        MATOMO.decode(urlencode(sent).encode(), context()),
        MATOMO.decode(urlencode(sent).encode(), context(HIT)),
        MATOMO.decode(bulk(f"?{urlencode(sent)}"), context()),
        MATOMO.decode(bulk(sent), context()),
    ]

    assert [form.events for form in forms] == [forms[0].events] * 5


def test_each_bad_request_of_a_bulk_is_refused_alone() -> None:
    good = f"?{urlencode(HIT)}"

    body = bulk(good, 5, "", f"{good}&cdt=now", {"_id": VISITOR}, good)

    assert refusals(body) == [
        ("not_an_object", ""),
        ("missing_field", "/url"),
        ("bad_time", "/cdt"),
        ("missing_field", "/url"),
    ]
    assert list(MATOMO.decode(body, context()).indexes) == [0, 5]


@pytest.mark.parametrize("body", [b"", b"no form", b'{"requests": 5}', b'{"requests"', b"[]", b"{}"])
def test_a_request_without_a_hit_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        MATOMO.decode(body, context())


def test_a_bulk_of_several_sites_is_unreadable_because_a_key_has_one_storefront() -> None:
    with pytest.raises(Unreadable, match="several sites"):
        MATOMO.decode(bulk("?idsite=7&url=a&_id=1", {"idsite": 8, "url": "a", "_id": "1"}), context())


def test_more_requests_than_allowed_are_refused() -> None:
    with pytest.raises(TooLarge):
        MATOMO.decode(bulk("?a=1", "?a=2"), context(max_events=1))


MANY = "&".join(f"dimension{number}=1" for number in range(501))  # parameters of one hit


def test_a_hit_of_more_parameters_than_any_client_sends_is_not_taken_apart() -> None:
    assert MATOMO.key(MANY.encode() + b"&idsite=7", {}) is None
    with pytest.raises(Unreadable, match="more than 500 parameters"):
        MATOMO.decode(MANY.encode(), context())
    assert refusals(bulk(MANY)) == [("not_an_object", "")]


def test_the_key_of_a_bulk_is_looked_for_in_its_first_hits_only() -> None:
    assert MATOMO.key(bulk(*["?rec=1"] * 9, "?idsite=7"), {}) == "7"
    assert MATOMO.key(bulk(*["?rec=1"] * 10, "?idsite=7"), {}) is None


# -- replies ---------------------------------------------------------------------------------------------------------


def test_one_hit_is_answered_with_nothing_or_a_pixel() -> None:
    stored = IngestResult([Outcome.STORED], ["id"], [])

    assert MATOMO.reply(stored, {"idsite": "7", "send_image": "0"})[:2] == (204, b"")
    assert MATOMO.reply(stored, {"idsite": "7"}) == (200, PIXEL, "image/gif")
    assert PIXEL.startswith(b"GIF89a")


def test_a_bulk_is_answered_with_what_became_of_it() -> None:
    refused = Rejection(1, RejectReason.BAD_TIME, "/cdt", "no time", b"")
    result = IngestResult([Outcome.STORED, Outcome.REJECTED, Outcome.DUPLICATE], ["a", None, "b"], [refused])

    assert MATOMO.reply(result, {}).content == {
        "status": "success",
        "tracked": 2,
        "invalid": 1,
        "invalid_indices": [1],
    }


# -- the documentation, and what a real client sent ------------------------------------------------------------------


def test_the_documentation_shows_the_words() -> None:
    rows = [line.split("|") for line in DOCUMENTED.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    words = [(theirs.strip(" `"), row[2].split("`")[1]) for row in rows for theirs in row[1].split(",")]
    rules = [(name if value is None else f"{name}={value}", ours) for name, value, ours in EVENT_NAMES]

    assert [pair for pair in words if pair in rules] == rules  # in this order, which matters
    assert {*PROPERTY_NAMES.items(), *PAGE_PRODUCT_NAMES.items()} <= set(words)


def leaves(value: Any) -> list[str]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [str(value)] if children is None else [leaf for child in children for leaf in leaves(child)]


def test_nothing_is_lost_of_what_was_recorded() -> None:
    for request in recorded("matomo-browser.jsonl"):
        sent = {**request.context.query, **dict(parse_qsl(request.body.decode()))}
        [event] = MATOMO.decode(request.body, request.context).events

        assert (event.visitor_key, event.customer_key) == (sent["_id"], sent.get("uid"))
        assert (event.url, event.referrer) == (sent["url"], sent.get("urlref"))
        of_page = {*PAGE_PRODUCT_NAMES, "idgoal"} if "idgoal" in sent else set()
        told = {name: value for name, value in sent.items() if name not in LEFT_OUT | of_page and name[:3] != "pf_"}
        wanted = [*leaves(json.loads(told.pop("ec_items", "[]"))), *told.values()]
        assert [value for value in wanted if value not in leaves(event.properties)] == []


def test_the_recorded_journey_has_its_stages_and_its_order() -> None:
    requests = [request for request in recorded("matomo-browser.jsonl") if request.scenario == "default"]
    events = [event for r in requests for event in MATOMO.decode(r.body, r.context).events]

    assert [event.event_name for event in events] == [
        "page_viewed",
        "page_engaged",
        "product_viewed",
        "cart_updated",
        "page_viewed",
        "page_viewed",
        "checkout_started",
        "page_viewed",
        "order_completed",
    ]
    assert (events[-1].properties["order_id"], events[-1].properties["value"]) == ("ORD-2026-000123", 133.72)
    assert events[-1].customer_key == "user-4711"
