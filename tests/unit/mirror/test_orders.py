"""Which order an event reports: known of those that report one, extended by what is new, gone with what is erased."""

import pytest

from app.mirror import scan as scan_module
from tests.unit.mirror.rows import FilledMirror, Row

ORDERED = "order_completed"


def ordered(*order_ids: object, shaped: bool = False) -> list[Row]:
    return [Row(ORDERED, {"order_id": each}, shaped=shaped) for each in order_ids]


def order_ids(filled: FilledMirror, storefront_id: int = 1) -> dict[int, str]:
    """By row_number."""
    with filled.scan(storefront_id) as scan:
        found = scan.order_ids()
    return {row: found.ids.texts[code] for row, code in zip(found.row_number, found.ids.codes, strict=True)}


def test_only_completed_orders_with_an_id_report_one(filled: FilledMirror) -> None:
    filled.add(
        Row(), *ordered(7, "7"), Row("order_refunded", {"order_id": 7}), Row(ORDERED), *ordered("b", shaped=True)
    )
    assert order_ids(filled) == {1: "7", 2: "7", 5: "b"}


@pytest.mark.parametrize("nothing", ["", " ", "null", "None", " UNDEFINED", "NaN", "(not set)", None])
def test_what_senders_write_for_want_of_an_id_is_none(filled: FilledMirror, nothing: str | None) -> None:
    filled.add(*ordered(nothing, "7", nothing))
    assert order_ids(filled) == {1: "7"}


def test_ids_are_compared_as_revenue_does_by_their_first_200_characters(filled: FilledMirror) -> None:
    filled.add(*ordered("a" * 200 + "b", "a" * 201))
    assert set(order_ids(filled).values()) == {"a" * 200}


def test_new_orders_join_those_known(filled: FilledMirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few rows are read at once."""
    monkeypatch.setattr(scan_module, "PIECE_ROWS", 2)
    assert order_ids(filled) == {}
    filled.add(Row(), Row())
    assert order_ids(filled) == {}
    filled.add(*ordered(7), Row(), Row(), Row(), *ordered(8, 7))
    with filled.scan() as before:
        filled.add(*ordered(8))
        assert order_ids(filled) == {2: "7", 6: "8", 7: "7", 8: "8"}
        assert before.order_ids().ids.codes.tolist() == [0, 1, 0, 1]  # another look at the same is never the worse


def test_storefronts_have_orders_of_their_own(filled: FilledMirror) -> None:
    filled.add(*ordered(7), Row(ORDERED, {"order_id": 8}, storefront_id=2))
    assert (order_ids(filled), order_ids(filled, 2)) == ({0: "7"}, {0: "8"})


def test_what_was_erased_is_forgotten(filled: FilledMirror) -> None:
    filled.add(*ordered(7, 8))
    assert order_ids(filled) == {0: "7", 1: "8"}
    filled.execute("DELETE FROM event WHERE row_number = 0")
    filled.mirror.columns.clear()
    assert order_ids(filled) == {1: "8"}
