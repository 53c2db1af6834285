"""Ids of events: the sender's are recognised again, ours are in the order of time."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.event import canonical_event_id, canonical_event_ids, new_event_id
from tests.events import NOW, stored_event

ID = "01957a10-3f2c-7000-8000-00000000abcd"


@given(st.uuids())
def test_a_uuid_is_its_own_id_in_any_case(sent: uuid.UUID) -> None:
    assert canonical_event_id(str(sent)) == str(sent)
    assert canonical_event_id(str(sent).upper()) == str(sent)


@given(st.text(min_size=1, max_size=200))
def test_any_text_becomes_a_uuid_always_the_same(sent: str) -> None:
    event_id = canonical_event_id(sent)

    assert str(uuid.UUID(event_id)) == event_id
    assert canonical_event_id(sent) == event_id


def test_a_text_becomes_the_uuid_it_always_became() -> None:
    assert canonical_event_id("order-7") == "df8cf802-27ec-8237-822d-f0ecd88385c5"


@pytest.mark.parametrize(
    "almost",
    [ID.replace("-", ""), f"{{{ID}}}", ID[:-1], f"{ID} ", ID.replace("a", "g"), ID.replace("a", "٣")],
)
def test_what_only_looks_like_a_uuid_is_a_text(almost: str) -> None:
    assert canonical_event_id(almost) not in (ID, almost)
    assert uuid.UUID(canonical_event_id(almost)).version == 8


SENT_IDS = st.uuids().map(str) | st.uuids().map(lambda sent: str(sent).upper()) | st.text(min_size=1, max_size=40)


@given(st.lists(st.uuids().map(str)) | st.lists(SENT_IDS))
def test_many_ids_are_those_that_each_would_be(sent: list[str]) -> None:
    assert canonical_event_ids(sent) == [canonical_event_id(each) for each in sent]


@pytest.mark.parametrize("other", [f"{ID}\n{ID}", f"{ID}\n", ID[:-1] + "x", ID[:-1] + "é", "order-7"])
def test_one_text_among_uuids_spoils_none_of_them(other: str) -> None:
    assert canonical_event_ids([ID, other, ID.upper()]) == [ID, canonical_event_id(other), ID]


def test_ids_of_ours_are_new_and_carry_the_time() -> None:
    ids = [new_event_id(NOW + timedelta(milliseconds=n)) for n in range(100)]

    assert len(set(ids)) == 100
    assert ids == sorted(ids)
    made = uuid.UUID(ids[0])
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert datetime.fromtimestamp((made.int >> 80) / 1000, UTC) == NOW


def test_events_are_the_same_by_storefront_id_and_time_alone() -> None:
    event = stored_event(event_id=ID)

    assert event.identity == stored_event("another", event_id=ID, visitor="ben").identity
    assert event.identity != stored_event(event_id=ID, storefront_id=2).identity
    assert event.identity != stored_event(event_id=ID, client_time=None).identity
