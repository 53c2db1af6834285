"""What stays of an address: the page, and what says which campaign brought somebody."""

import pytest

from app.ingest.formats.base import Decoded
from app.ingest.pipeline import run_pipeline
from app.ingest.steps import STEPS
from app.ingest.steps.strip_urls import stripped
from tests.events import NOW, stored_event


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("https://shop.example/hats", "https://shop.example/hats"),
        ("/hats?colour=red", "/hats"),
        ("https://shop.example/reset?token=s3cret&utm_source=news", "https://shop.example/reset?utm_source=news"),
        ("https://shop.example/?q=gift&gclid=Cj0K&fbclid=IwAR", "https://shop.example/?gclid=Cj0K&fbclid=IwAR"),
        ("https://shop.example/?UTM_Source=News&GCLID=1", "https://shop.example/?UTM_Source=News&GCLID=1"),
        ("https://shop.example/?pk_vid=ana&mtm_campaign=a&pk_kwd=b", "https://shop.example/?mtm_campaign=a&pk_kwd=b"),
        ("https://shop.example/?utm_campaign=a%20b+c&x", "https://shop.example/?utm_campaign=a%20b+c"),
        ("https://shop.example/?&&", "https://shop.example/"),
        ("https://shop.example/a?b?utm_source=c", "https://shop.example/a"),
        # A fragment goes, unless it is a page of its own; a query of its own is looked at too.
        ("https://shop.example/hats#reviews", "https://shop.example/hats"),
        ("https://shop.example/#access_token=s3cret", "https://shop.example/"),
        ("https://shop.example/?a=1#/cart", "https://shop.example/#/cart"),
        ("https://shop.example/#!/cart?coupon=ana&utm_term=hat", "https://shop.example/#!/cart?utm_term=hat"),
        # User and password.
        ("https://ana:s3cret@shop.example:8443/a", "https://shop.example:8443/a"),
        ("//ana@home:x@shop.example", "//shop.example"),
        ("https://shop.example/@ana", "https://shop.example/@ana"),
        ("https://shop.example?ana@home", "https://shop.example"),
        ("mailto:ana", "mailto:ana"),
        ("", ""),
        ("?", ""),
        ("#", ""),
        ("https://магазин.example/шляпы?я=1", "https://магазин.example/шляпы"),
    ],
)
def test_only_campaign_parameters_are_kept(sent: str, kept: str) -> None:
    assert stripped(sent) == kept


def test_addresses_among_the_properties_are_stripped_too() -> None:
    properties = {
        "url": "https://shop.example/?q=1",
        "referrer": "https://a.example/?q=1#b",
        "link_url": "https://b.example/?mail=x",
        "search": "?q=1&utm_source=news",
        "image": "https://cdn.example/hat.jpg?width=200",
        "products": [{"url": "/hats?variant=2"}],
    }
    event = stored_event(properties=properties)

    run_pipeline(Decoded([event], [0], list), NOW, STEPS)

    assert event.properties == {
        "url": "https://shop.example/",
        "referrer": "https://a.example/",
        "link_url": "https://b.example/",
        "search": "?utm_source=news",
        "image": "https://cdn.example/hat.jpg?width=200",
        "products": [{"url": "/hats?variant=2"}],
    }


def test_words_that_somebody_searched_for_are_no_query() -> None:
    event = stored_event(properties={"search": "#1 hat? @home"})

    run_pipeline(Decoded([event], [0], list), NOW, STEPS)

    assert event.properties == {"search": "#1 hat? @home"}


@pytest.mark.parametrize("value", [None, 7, ["https://shop.example/?a=1"], {"a": "b"}])
def test_what_is_no_text_is_no_address(value: object) -> None:
    event = stored_event(properties={"url": value})

    run_pipeline(Decoded([event], [0], list), NOW, STEPS)

    assert event.properties == {"url": value}
