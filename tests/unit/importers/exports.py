"""Builds tiny files in the shape of GA4's BigQuery export."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

VALUE = pa.struct(
    [
        ("string_value", pa.string()),
        ("int_value", pa.int64()),
        ("float_value", pa.float64()),
        ("double_value", pa.float64()),
    ]
)
ITEM_TEXTS = (
    "item_id",
    "item_name",
    "item_brand",
    "item_variant",
    "item_category",
    "promotion_id",
    "promotion_name",
    "creative_name",
    "creative_slot",
)
ITEM = pa.struct([*((name, pa.string()) for name in ITEM_TEXTS), ("price", pa.float64()), ("quantity", pa.int64())])
SCHEMA = pa.schema(
    [
        ("event_timestamp", pa.int64()),
        ("event_name", pa.string()),
        ("event_params", pa.list_(pa.struct([("key", pa.string()), ("value", VALUE)]))),
        ("event_bundle_sequence_id", pa.int64()),
        ("user_id", pa.string()),
        ("user_pseudo_id", pa.string()),
        (
            "device",
            pa.struct(
                [
                    ("category", pa.string()),
                    ("operating_system", pa.string()),
                    ("web_info", pa.struct([("browser", pa.string())])),
                ]
            ),
        ),
        ("geo", pa.struct([("country", pa.string()), ("city", pa.string())])),
        (
            "traffic_source",
            pa.struct([("medium", pa.string()), ("name", pa.string()), ("source", pa.string())]),
        ),
        (
            "ecommerce",
            pa.struct(
                [
                    ("purchase_revenue", pa.float64()),
                    ("refund_value", pa.float64()),
                    ("shipping_value", pa.float64()),
                    ("tax_value", pa.float64()),
                    ("transaction_id", pa.string()),
                ]
            ),
        ),
        ("items", pa.list_(ITEM)),
    ]
)


def hit(event_name: str | None = "page_view", params: dict[str, Any] | None = None, **columns: Any) -> dict[str, Any]:
    """One row; parameters as plain values."""
    defaults = {"event_timestamp": 1_608_336_001_839_145, "user_pseudo_id": "ana.1", "items": []}
    listed = [{"key": key, "value": _typed(value)} for key, value in (params or {}).items()]
    return {**defaults, "event_name": event_name, "event_params": listed, **columns}


def _typed(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        return {"string_value": value}
    if isinstance(value, int):
        return {"int_value": value}
    return {"double_value": value}


def write_export(path: Path, *rows: dict[str, Any], without: tuple[str, ...] = ()) -> Path:
    """The rows as a file, with all columns but those named in `without`."""
    schema = pa.schema([column for column in SCHEMA if column.name not in without])
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)
    return path
