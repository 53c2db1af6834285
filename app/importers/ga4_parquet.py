"""Reads Parquet files of GA4's BigQuery export as flat rows, still in GA4's words, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, reduce
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.importers.base import NAME_MAX, ImportFileError

BATCH_ROWS = 8_192  # about 10 MB as Python values; larger batches measured no faster

REQUIRED_COLUMNS = ("event_timestamp", "event_name", "user_pseudo_id", "event_params")
OPTIONAL_COLUMNS = ("event_bundle_sequence_id", "user_id")
ECOMMERCE_COLUMNS = {
    "ecommerce.transaction_id": "transaction_id",
    "ecommerce.purchase_revenue": "purchase_revenue",
    "ecommerce.refund_value": "refund_value",
    "ecommerce.tax_value": "tax_value",
    "ecommerce.shipping_value": "shipping_value",
}
CONTEXT_COLUMNS = {
    "device.category": "device_type",
    "device.mobile_brand_name": "device_brand",
    "device.operating_system": "operating_system",
    "device.web_info.browser": "browser",
    "device.language": "language",
    "geo.country": "country",
    "geo.region": "region",
    "geo.city": "city",
    "traffic_source.source": "first_source",  # where the visitor first came from, not this session
    "traffic_source.medium": "first_medium",
    "traffic_source.name": "first_campaign",
}
PARAMETER_FIELDS = ("string_value", "int_value", "float_value", "double_value")  # of a parameter, one is set
Objects = np.ndarray[Any, np.dtype[np.object_]]
NOT_SET = pa.array(["", "(not set)"])


class Item(NamedTuple):
    """One element of `items`: a product, or a promotion in the place of one."""

    item_id: str | None
    item_name: str | None
    item_category: str | None
    item_brand: str | None
    item_variant: str | None
    price: float | None
    quantity: int | None
    promotion_id: str | None
    promotion_name: str | None
    creative_name: str | None
    creative_slot: str | None


class Row(NamedTuple):
    """One row of the export; what GA4 left empty or `(not set)` is None or absent."""

    client_time: str | None  # RFC 3339, microseconds
    event_name: str | None
    user_pseudo_id: str | None
    user_id: str | None
    bundle_sequence_id: int | None
    parameters: dict[str, Any]
    ecommerce: dict[str, Any]  # shared between rows, like context: not to be changed
    context: dict[str, Any]  # device, place and first source, under native names
    items: list[Item]


def open_export(path: Path) -> pq.ParquetFile:
    """The opened file, checked to be an export of GA4."""
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ImportFileError(path, "is not a Parquet file; export the table as Parquet.") from error
    except OSError as error:
        raise ImportFileError(path, f"cannot be opened ({error.strerror or error}).") from error
    missing = [name for name in REQUIRED_COLUMNS if name not in file.schema_arrow.names]
    if missing:
        file.close()
        detail = f"has no column {', '.join(missing)}; export whole tables events_YYYYMMDD of GA4."
        raise ImportFileError(path, detail)
    return file


def read_rows(file: pq.ParquetFile, path: Path) -> Iterator[Row]:
    """The rows in the order of the file."""
    try:
        for batch in file.iter_batches(BATCH_ROWS, columns=_wanted_columns(file)):
            yield from _rows(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        detail = f"is damaged or has columns of an unknown kind ({error}); export it again."
        raise ImportFileError(path, detail) from error


def _wanted_columns(file: pq.ParquetFile) -> list[str]:
    """Paths of the columns of this file that we read; lists are named differently by different writers."""
    scalars = {*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS, *ECOMMERCE_COLUMNS, *CONTEXT_COLUMNS}
    paths = [file.schema.column(i).path for i in range(len(file.schema))]
    return [
        path
        for path in paths
        if path in scalars
        or path.startswith("event_params.")
        or (path.startswith("items.") and path.rpartition(".")[2] in Item._fields)
    ]


def _rows(batch: pa.RecordBatch) -> Iterator[Row]:
    columns = (
        _rfc3339(batch.column("event_timestamp")),
        _values(batch, "event_name"),
        _values(batch, "user_pseudo_id"),
        _values(batch, "user_id"),
        _values(batch, "event_bundle_sequence_id"),
        _parameters(batch.column("event_params")),
        _records(batch, ECOMMERCE_COLUMNS),
        _records(batch, CONTEXT_COLUMNS),
        _items(batch),
    )
    return map(Row._make, zip(*columns, strict=True))


def _rfc3339(timestamps_us: pa.Array) -> list[str | None]:
    text = timestamps_us.cast(pa.timestamp("us")).cast(pa.string())  # 2020-12-19 00:00:01.839145, in UTC
    text = pc.binary_join_element_wise(pc.binary_replace_slice(text, 10, 11, "T"), "Z", "")
    return text.to_pylist()  # type: ignore[no-any-return]


def _values(batch: pa.RecordBatch, path: str) -> list[Any]:
    """Values of a column such as `device.language`; all None if the file has no such column."""
    name, *fields = path.split(".")
    if name not in batch.schema.names:
        return [None] * batch.num_rows
    column = batch.column(name)
    for field in fields:
        if column.type.get_field_index(field) < 0:
            return [None] * batch.num_rows
        column = pc.struct_field(column, field)
    values: list[Any] = _python_values(_only_set(column)).tolist()
    return values


def _only_set(column: pa.Array) -> pa.Array:
    """Null instead of "", "(not set)", NaN and infinity."""
    if pa.types.is_string(column.type):
        return pc.if_else(pc.is_in(column, NOT_SET), None, column)
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_finite(column), column, None)
    return column


def _python_values(column: pa.Array) -> Objects:
    """str, int, float and None; equal strings are one object, which is quicker to make and to look up."""
    if not pa.types.is_string(column.type):
        if column.null_count:
            return np.array(column.to_pylist(), dtype=object)
        numbers: Objects = column.to_numpy().astype(object)
        return numbers
    encoded = column.dictionary_encode()
    distinct = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    values: Objects = distinct[pc.fill_null(encoded.indices, -1).to_numpy()]
    return values


def _records(batch: pa.RecordBatch, names: dict[str, str]) -> list[dict[str, Any]]:
    """One dict per row with those of the columns (path -> name) that are set in it."""
    columns = [_values(batch, path) for path in names]
    keys = tuple(names.values())
    return [_record(keys, values) for values in zip(*columns, strict=True)]


@lru_cache(maxsize=8_192)  # the rows of a visitor agree in device and place
def _record(names: tuple[str, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _parameters(lists: pa.ListArray) -> list[dict[str, Any]]:
    """Each row's parameters as key -> value, whichever typed field holds it."""
    flat = lists.flatten()
    value = pc.struct_field(flat, "value")
    fields = [_only_set(pc.struct_field(value, name)) for name in PARAMETER_FIELDS]
    keys = pc.struct_field(flat, "key")
    is_set = pc.and_(reduce(pc.or_, map(pc.is_valid, fields)), pc.is_valid(keys))
    names = _python_values(pc.utf8_slice_codeunits(keys.filter(is_set), 0, NAME_MAX)).tolist()
    values = _first_set([field.filter(is_set) for field in fields])
    set_before = np.concatenate(([0], np.cumsum(is_set.to_numpy(zero_copy_only=False))))
    bounds = set_before[_bounds(lists)].tolist()
    return [dict(zip(names[a:b], values[a:b], strict=True)) for a, b in pairwise(bounds)]


def _first_set(fields: list[pa.Array]) -> list[Any]:
    """Per position the value of the first field that has one."""
    values = np.empty(len(fields[0]), dtype=object)
    for field in reversed(fields):
        is_set = pc.is_valid(field).to_numpy(zero_copy_only=False)
        values[is_set] = _python_values(pc.drop_null(field))
    return values.tolist()


def _items(batch: pa.RecordBatch) -> list[list[Item]]:
    if "items" not in batch.schema.names:
        return [[] for _ in range(batch.num_rows)]
    lists = batch.column("items")
    flat = pa.RecordBatch.from_struct_array(lists.flatten())
    items = list(map(Item._make, zip(*[_values(flat, field) for field in Item._fields], strict=True)))
    return [items[a:b] for a, b in pairwise(_bounds(lists).tolist())]


def _bounds(lists: pa.ListArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where each row's elements lie in the flattened list: row i in [bounds[i], bounds[i + 1])."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.concatenate(([0], np.cumsum(lengths)))
