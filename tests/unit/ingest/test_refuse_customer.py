"""Ids that programs write for nobody make no customer."""

from pathlib import Path

import pytest

from app.domain.outcome import RejectReason
from app.ingest.pipeline import Arrival
from app.ingest.steps.refuse_customer import NOBODY, refuse_customer
from tests.events import NOW, stored_event


@pytest.mark.parametrize(
    "customer",
    ["null", "NULL", " undefined ", "0", "-1", "None", "NaN", "Anonymous", "guest", "unknown", "true", "False", "",
     "  ", "[object Object]", "nil", "N/A", "(not set)", "00000000-0000-0000-0000-000000000000"],
)  # fmt: skip
def test_an_event_of_nobodys_customer_stays_its_visitors(customer: str) -> None:
    event, arrival = stored_event(visitor="phone", customer=customer), Arrival(NOW, None)
    assert not refuse_customer([event], arrival)
    assert (event.visitor_key, event.customer_key) == ("phone", None)
    assert arrival.customers_refused == 1


def test_without_a_visitor_it_is_refused() -> None:
    arrival = Arrival(NOW, None)
    fault = refuse_customer([stored_event(visitor=None, customer="undefined")], arrival)[0]
    assert (fault.reason, fault.pointer) == (RejectReason.BAD_CUSTOMER, "/customer_id")
    assert arrival.customers_refused == 0


def test_without_a_visitor_a_browsers_is_the_one_of_that_day() -> None:
    arrival = Arrival(NOW, None, cookieless_key=lambda: "of the day")
    event = stored_event(visitor=None, customer="undefined")
    assert not refuse_customer([event], arrival)
    assert (event.visitor_key, event.customer_key, arrival.customers_refused) == ("of the day", None, 1)


@pytest.mark.parametrize(
    ("order_id", "visitor"), [("A-17", "order:A-17"), (17, "order:17"), ("9" * 300, "order:" + "9" * 194)]
)
def test_a_guests_order_is_its_own_visitors(order_id: object, visitor: str) -> None:
    event = stored_event("order_completed", visitor=None, customer="0", properties={"order_id": order_id})
    assert not refuse_customer([event], Arrival(NOW, None))
    assert (event.visitor_key, event.customer_key) == (visitor, None)


@pytest.mark.parametrize("order_id", ["", None, True, ["A-17"]])
def test_an_order_without_an_id_is_nobodys(order_id: object) -> None:
    event = stored_event("order_completed", visitor=None, customer="0", properties={"order_id": order_id})
    assert refuse_customer([event], Arrival(NOW, None)).keys() == {0}


@pytest.mark.parametrize("customer", [None, "ana", "00", "1", "nullius", "guest-17", "-", "Ana Guest"])
def test_other_customers_are_taken_as_they_are(customer: str | None) -> None:
    event, arrival = stored_event(visitor="phone", customer=customer), Arrival(NOW, None)
    assert not refuse_customer([event], arrival)
    assert (event.customer_key, arrival.customers_refused) == (customer, 0)


def test_the_page_about_identity_names_them_all() -> None:
    page = (Path(__file__).parents[3] / "docs" / "identity.md").read_text(encoding="utf-8").lower()
    in_words = {"": "nothing at all", "00000000-0000-0000-0000-000000000000": "uuid of\nzeros"}
    assert [each for each in sorted(NOBODY) if in_words.get(each, f"`{each}`") not in page] == []
