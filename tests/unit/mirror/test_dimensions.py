"""Dimensions of odd and ordinary events, as columns and in conditions."""

import pytest

from app.domain.funnel import Alternative, Condition, Operator, Scalar
from app.errors import Invalid
from app.mirror.dimensions import DIMENSIONS
from app.mirror.scan import TIME_MAX_US, Subject, Wanted
from tests.unit.mirror.rows import FilledMirror, Row

# (url, its path, its host)
URLS: tuple[tuple[str | None, str | None, str | None], ...] = (
    ("https://shop.example/a/b", "/a/b", "shop.example"),
    ("https://shop.example/a/b?x=1&y=/c?d", "/a/b", "shop.example"),
    ("https://shop.example/a#top?x", "/a", "shop.example"),
    ("https://shop.example", "/", "shop.example"),
    ("https://shop.example/", "/", "shop.example"),
    ("https://shop.example?x=/y", "/", "shop.example"),
    ("https://shop.example#/y", "/", "shop.example"),
    ("HTTPS://Shop.EXAMPLE/A", "/A", "shop.example"),
    ("https://shop.example:8443/a", "/a", "shop.example"),
    ("https://ana:pa:ss@shop.example:80/a@b", "/a@b", "shop.example"),
    ("https://ana@home@shop.example/", "/", "shop.example"),
    ("http://[2001:DB8::1]:8080/a", "/a", "[2001:db8::1]"),
    ("http://[::1]", "/", "[::1]"),
    ("http://[::1/a", "/a", "["),
    ("android-app://com.example.shop/a", "/a", "com.example.shop"),
    ("//cdn.example/a?b", "/a", "cdn.example"),
    ("https://МАГАЗИН.example/товар/😀?я", "/товар/😀", "магазин.example"),
    ("https://shop.example/a\nb?c", "/a\nb", "shop.example"),
    ("https://shop.example/%3Fa/../b//", "/%3Fa/../b//", "shop.example"),
    ("https:///a", "/a", None),
    ("https://:80/a", "/a", None),
    ("shop.example/a?b", "shop.example/a", None),
    ("localhost:8000/a?b", "localhost:8000/a", None),
    ("/a/b?c", "/a/b", None),
    ("/a//b", "/a//b", None),
    ("mailto:ana@shop.example", "mailto:ana@shop.example", None),
    ("?a=b", None, None),
    ("#a", None, None),
    ("", None, None),
    ("'; DROP TABLE event; --", "'; DROP TABLE event; --", None),
    (None, None, None),
)


def texts(filled: FilledMirror, dimension: str) -> list[str | None]:
    """What each event has, in the order of their row numbers."""
    with filled.scan() as scan:
        column = scan.column(Subject(dimension, is_dimension=True))
        return [column.texts[code] if code >= 0 else None for code in column.codes.tolist()]


def matching(
    filled: FilledMirror, op: Operator, value: Scalar | tuple[Scalar, ...], name: str = "page_path"
) -> list[int]:
    condition = Condition(name, op, value, is_dimension=True)
    with filled.scan() as scan:
        wanted = [Wanted((Alternative("product_viewed", (condition,)),), 0)]
        return sorted(scan.matches(wanted, TIME_MAX_US).row_number.tolist())


def test_paths_and_hosts(filled: FilledMirror) -> None:
    filled.add(*(Row(url=url) for url, _, _ in URLS), *(Row(referrer=url) for url, _, _ in URLS))
    none = [None] * len(URLS)
    assert texts(filled, "page_path") == [path for _, path, _ in URLS] + none
    assert texts(filled, "page_host") == [host for _, _, host in URLS] + none
    assert texts(filled, "referrer_host") == none + [host for _, _, host in URLS]
    assert texts(filled, "url") == [url for url, _, _ in URLS] + none
    assert texts(filled, "referrer") == none + [url for url, _, _ in URLS]


def test_event_names_and_trust(filled: FilledMirror) -> None:
    filled.add(*(Row(name, trust=trust) for trust, name in enumerate(("a", "b", "a", "товар"), start=1)))
    assert texts(filled, "event") == ["a", "b", "a", "товар"]
    assert texts(filled, "trust") == ["browser", "server", "signed", "import"]


def test_every_operator(filled: FilledMirror) -> None:
    filled.add(*(Row(url=url) for url in ("/a", "/b?x=1", "/bag", None, "12")))
    assert matching(filled, Operator.EQUAL, "/b") == [1]
    assert matching(filled, Operator.NOT_EQUAL, "/b") == [0, 2, 3, 4]
    assert matching(filled, Operator.IN, ("/a", "/bag")) == [0, 2]
    assert matching(filled, Operator.EXISTS, True) == [0, 1, 2, 4]
    assert matching(filled, Operator.EXISTS, False) == [3]
    assert matching(filled, Operator.CONTAINS, "a") == [0, 2]
    assert matching(filled, Operator.LESS, "/b") == [0]
    assert matching(filled, Operator.GREATER, "/b") == [2, 4]
    assert matching(filled, Operator.GREATER, 11) == [4]
    assert matching(filled, Operator.EQUAL, 12) == [4]


def add_contexts(filled: FilledMirror) -> None:
    """A device and a campaign, both with the number 7."""
    filled.execute("INSERT INTO device_context VALUES (7, 1, 'mobile', 'Safari', 'iOS', 'de', 'AT')")
    filled.execute(
        "INSERT INTO campaign_context VALUES (7, 1, 'email', 'news', 'email', 'May', 'hats', 'top', 'gclid')"
    )


def test_devices_and_campaigns_are_those_that_the_event_names(filled: FilledMirror) -> None:
    add_contexts(filled)
    filled.add(Row(device_context_id=7), Row(campaign_context_id=7), Row())

    devices = {name: texts(filled, name) for name in ("device_type", "browser", "os", "language", "country")}
    assert devices == {
        "device_type": ["mobile", None, None],
        "browser": ["Safari", None, None],
        "os": ["iOS", None, None],
        "language": ["de", None, None],
        "country": ["AT", None, None],
    }
    utm = {
        f"utm_{part}": texts(filled, f"utm_{part}")[1] for part in ("source", "medium", "campaign", "term", "content")
    }
    assert utm == {
        "utm_source": "news",
        "utm_medium": "email",
        "utm_campaign": "May",
        "utm_term": "hats",
        "utm_content": "top",
    }
    assert texts(filled, "click_id") == [None, "gclid", None]


def test_on_a_page_that_nothing_brought_them_to_people_are_direct(filled: FilledMirror) -> None:
    add_contexts(filled)
    filled.add(Row(campaign_context_id=7), Row(trust=1), Row(trust=2, url="/thanks"), Row(trust=2))

    assert texts(filled, "channel") == ["email", "direct", "direct", None]


@pytest.mark.parametrize("name", [dimension.name for dimension in DIMENSIONS])
def test_every_dimension_can_be_a_condition(filled: FilledMirror, name: str) -> None:
    add_contexts(filled)
    page = "https://shop.example/a"
    filled.add(Row(url=page, referrer=page, device_context_id=7, campaign_context_id=7))
    assert matching(filled, Operator.EXISTS, True, name) == [0]
    assert matching(filled, Operator.EQUAL, "no such value", name) == []


def test_an_unknown_dimension_is_refused_with_those_that_there_are(filled: FilledMirror) -> None:
    filled.add(Row())
    known = ", ".join(dimension.name for dimension in DIMENSIONS)
    with pytest.raises(Invalid, match=f"There is no dimension 'pagepath'; there are {known}."):
        texts(filled, "pagepath")
    with pytest.raises(Invalid, match="There is no dimension"):
        matching(filled, Operator.EXISTS, True, "pagepath")


def test_a_property_of_a_dimensions_name_is_another_thing(filled: FilledMirror) -> None:
    filled.add(Row(properties={"url": "of the property"}, url="of the event"))
    with filled.scan() as scan:
        assert list(scan.column(Subject("url")).texts) == ["of the property"]
        assert list(scan.column(Subject("url", is_dimension=True)).texts) == ["of the event"]
