"""GA4's rows become native events: names, order, products, ids; whatever GA4 did not know is left out."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.importers.base import ImportFileError
from app.importers.ga4 import GA4
from tests.unit.importers.exports import hit, write_export


@pytest.fixture
def imported(tmp_path: Path) -> Any:
    """Imports one row and gives the native event without its id."""

    def one(*args: Any, **columns: Any) -> dict[str, Any]:
        [event] = events(write_export(tmp_path / "events.parquet", hit(*args, **columns)))
        assert event.pop("event_id")
        return event

    return one


def events(*files: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(event) for event in GA4.read(files)]


def ids(*files: Path) -> list[str]:
    return [event["event_id"] for event in events(*files)]


def test_a_purchase_becomes_a_completed_order(imported: Any) -> None:
    assert imported(
        "purchase",
        {
            "page_location": "https://shop.example/done",
            "page_referrer": "https://shop.example/pay",
            "transaction_id": "9900042",
            "value": 29.6,
            "tax": 2.54,
            "currency": "USD",
            "coupon": "WINTER",
            "payment_type": "card",
            "engagement_time_msec": 46,
            "ga_session_id": 7648120249,
            "ga_session_number": 8,
            "session_engaged": "1",
            "debug_mode": 1,
        },
        user_id="customer-7",
        ecommerce={"transaction_id": "42", "purchase_revenue": 30.0, "tax_value": 3.0, "shipping_value": 5.0},
        items=[
            {
                "item_id": "sku-1",
                "item_name": "Super G Joggers",
                "item_category": "Apparel",
                "item_brand": "Google",
                "item_variant": " MD",
                "price": 15.0,
                "quantity": 2,
            },
            {"item_id": "sku-2", "item_name": "(not set)", "item_brand": ""},
        ],
    ) == {
        "event": "order_completed",
        "visitor_id": "ana.1",
        "customer_id": "customer-7",
        "client_time": "2020-12-19T00:00:01.839145Z",
        "url": "https://shop.example/done",
        "referrer": "https://shop.example/pay",
        "properties": {
            "order_id": "42",
            "value": 30.0,
            "tax": 3.0,
            "shipping": 5.0,
            "currency": "USD",
            "coupon": "WINTER",
            "payment_type": "card",
            "engaged_ms": 46,
            "ga_session_id": 7648120249,
            "ga_session_number": 8,
            "products": [
                {
                    "product_id": "sku-1",
                    "name": "Super G Joggers",
                    "category": "Apparel",
                    "brand": "Google",
                    "variant": " MD",
                    "price": 15.0,
                    "quantity": 2,
                },
                {"product_id": "sku-2"},
            ],
        },
    }


def test_device_place_and_first_source_become_properties(imported: Any) -> None:
    event = imported(
        device={"category": "mobile", "operating_system": "iOS", "web_info": {"browser": "Safari"}},
        geo={"country": "France", "city": "(not set)"},
        traffic_source={"source": "google", "medium": "organic", "name": "(organic)"},
    )
    assert event["properties"] == {
        "device_type": "mobile",
        "operating_system": "iOS",
        "browser": "Safari",
        "country": "France",
        "first_source": "google",
        "first_medium": "organic",
        "first_campaign": "(organic)",
    }


def test_without_ecommerce_the_parameters_describe_the_order(imported: Any) -> None:
    event = imported("purchase", {"transaction_id": 42, "value": 30, "tax": 2.5})
    assert event["properties"] == {"order_id": "42", "value": 30, "tax": 2.5}


def test_a_refund_has_the_refunded_value(imported: Any) -> None:
    event = imported("refund", ecommerce={"transaction_id": "42", "refund_value": 12.5, "purchase_revenue": 30.0})
    assert event["event"] == "order_refunded"
    assert event["properties"] == {"order_id": "42", "value": 12.5}


def test_a_promotion_in_the_place_of_a_product_is_no_product(imported: Any) -> None:
    event = imported("view_promotion", items=[{"item_id": "(not set)", "promotion_name": "Winter"}])
    assert event["properties"] == {"promotion_name": "Winter"}


def test_unknown_events_and_parameters_keep_their_names(imported: Any) -> None:
    event = imported("quiz_finished", {"score": 7, "ratio": 0.5, "topic": "hats"})
    assert event["event"] == "quiz_finished"
    assert event["properties"] == {"score": 7, "ratio": 0.5, "topic": "hats"}


def test_what_is_empty_or_not_a_number_is_left_out(imported: Any) -> None:
    event = imported("scroll", {"a": "", "b": "(not set)", "c": math.nan, "d": math.inf, "e": 0})
    assert event["properties"] == {"e": 0}


@pytest.mark.parametrize("text", ["", "null", "undefined", "(not set)", "NULL", " "])
def test_texts_that_mean_no_id_are_no_ids(imported: Any, text: str) -> None:
    event = imported("purchase", {"transaction_id": text}, user_id=text, user_pseudo_id=text)
    assert event == {"event": "order_completed", "client_time": "2020-12-19T00:00:01.839145Z"}


def test_limits_of_the_native_endpoint_are_kept(imported: Any) -> None:
    many = {f"p{i:03}": i for i in range(120)}
    event = imported(
        "x" * 120,
        {"k" * 120: 1, "nul": "a\x00b", "page_location": "https://shop.example/" + "y" * 3000, **many},
        user_pseudo_id="v" * 199 + "ab",
        items=[{"item_id": "sku"}],
    )
    assert event["event"] == "x" * 100
    assert len(event["url"]) == 2048
    assert len(event["visitor_id"]) == 200
    assert len(event["properties"]) == 100
    assert event["properties"]["k" * 100] == 1
    assert event["properties"]["nul"] == "ab"
    assert event["properties"]["products"] == [{"product_id": "sku"}]


def test_long_ids_that_differ_at_the_end_stay_different(imported: Any) -> None:
    first = imported(user_id="c" * 250 + "1")
    second = imported(user_id="c" * 250 + "2")
    assert first["customer_id"] != second["customer_id"]


def test_text_that_only_looks_like_an_escaped_nul_stays(imported: Any) -> None:
    assert imported("scroll", {"path": r"C:\u0000"})["properties"] == {"path": r"C:\u0000"}


def test_an_id_is_the_same_in_every_run_and_in_any_company(tmp_path: Path) -> None:
    rows = [hit("scroll", {"n": n}) for n in range(3)]
    alone = write_export(tmp_path / "a.parquet", *rows)
    other = write_export(tmp_path / "b.parquet", hit("click"))
    assert len(set(ids(alone))) == 3
    assert ids(alone) == ids(alone)
    assert ids(other, alone)[1:] == ids(alone)


def test_the_id_of_a_known_hit_never_changes(tmp_path: Path) -> None:
    """A release that gave other ids would store everything twice that is imported again."""
    file = write_export(tmp_path / "a.parquet", hit("view_item", {"page_title": "Hat", "value": 12.5}, items=[]))
    assert ids(file) == ["b5c9c950-1c91-802b-8842-bcd139c20539"]


@pytest.mark.parametrize(
    "change",
    [
        {"event_name": "scroll"},
        {"event_timestamp": 1},
        {"user_pseudo_id": "bob.2"},
        {"user_id": "bob"},
        {"event_bundle_sequence_id": 5},
        {"params": {"n": 1}},
        {"ecommerce": {"transaction_id": "42"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_hit_has_another_id(tmp_path: Path, change: dict[str, Any]) -> None:
    file = write_export(tmp_path / "a.parquet", hit(), hit(**change))
    assert len(set(ids(file))) == 2


def test_the_order_of_parameters_does_not_matter_for_the_id(tmp_path: Path) -> None:
    first = write_export(tmp_path / "a.parquet", hit("scroll", {"a": 1, "b": "x"}))
    second = write_export(tmp_path / "b.parquet", hit("scroll", {"b": "x", "a": 1}))
    assert ids(first) == ids(second)


def test_identical_rows_are_kept_and_told_apart(tmp_path: Path) -> None:
    three = write_export(tmp_path / "three.parquet", hit(), hit("click"), hit(), hit())
    one = write_export(tmp_path / "one.parquet", hit())
    assert len(set(ids(three))) == 4
    assert ids(three) == ids(three)
    assert ids(one) == [ids(three)[0]]
    assert ids(three, one) == [*ids(three), *ids(one)]


def test_rows_keep_their_order_over_files_and_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.importers.ga4_parquet.BATCH_ROWS", 2)
    rows = [
        hit("scroll", {"n": n} | {f"extra{i}": i for i in range(n)}, items=[{"item_id": f"{n}"}] * n) for n in range(5)
    ]
    later = write_export(tmp_path / "1.parquet", *rows[3:])
    first = write_export(tmp_path / "2.parquet", *rows[:3])
    read = events(first, later)
    assert [event["properties"]["n"] for event in read] == [0, 1, 2, 3, 4]
    assert [len(event["properties"].get("products", [])) for event in read] == [0, 1, 2, 3, 4]
    assert read[3]["properties"]["extra2"] == 2
    assert GA4.count([first, later]) == 5


def test_null_lists_and_rows_without_name_or_time_are_passed_on(tmp_path: Path) -> None:
    bare = hit(None, event_timestamp=None, user_pseudo_id=None, event_params=None, items=None)
    file = write_export(tmp_path / "a.parquet", bare, hit("click", {"n": 1}))
    assert [event.get("properties") for event in events(file)] == [None, {"n": 1}]


def test_columns_that_an_export_lacks_are_not_needed(tmp_path: Path) -> None:
    lacking = ("items", "ecommerce", "device", "geo", "traffic_source", "user_id", "event_bundle_sequence_id")
    file = write_export(tmp_path / "a.parquet", hit("click", {"n": 1}), without=lacking)
    assert [event["properties"] for event in events(file)] == [{"n": 1}]


def test_a_file_that_is_no_parquet_is_named_before_any_event(tmp_path: Path) -> None:
    good = write_export(tmp_path / "good.parquet", hit())
    bad = tmp_path / "bad.parquet"
    bad.write_text("event,visitor\n")
    with pytest.raises(ImportFileError, match=r"bad\.parquet: is not a Parquet file"):
        next(GA4.read([good, bad]))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    file = write_export(tmp_path / "a.parquet", hit(), without=("event_params", "user_pseudo_id"))
    with pytest.raises(ImportFileError, match="has no column user_pseudo_id, event_params"):
        GA4.count([file])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="cannot be opened"):
        GA4.count([tmp_path / "absent.parquet"])
