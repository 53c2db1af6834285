"""Which order an event reports, held in memory: of few events, so by itself and not as a column of every event."""

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.domain.order import ORDER_ID, is_nothing
from app.mirror.columns import Column, Subject, no_column
from app.mirror.conditions import Shapes, text_sql
from app.mirror.texts import TEXT_MAX

Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True)
class OrderIds:
    """row_number: of the events that report an order and name it, ascending. ids: by place in it. row_count: how many
    rows were looked at. Never changed, only extended."""

    row_number: Int32s
    ids: Column
    row_count: int

    @property
    def size_bytes(self) -> int:
        return int(self.row_number.nbytes) + self.ids.size_bytes

    def extended(self, found: pa.Table, row_count: int) -> "OrderIds":
        """With the rows up to row_count. found: as of `order_rows`."""
        texts = found.column("text").to_pylist()
        found = found.filter(pa.array([text is not None and not is_nothing(text) for text in texts], pa.bool_()))
        known = len(self.row_number)
        places = pa.array(np.arange(known, known + len(found), dtype=np.int32))
        return OrderIds(
            np.concatenate([self.row_number, found.column("row_number").to_numpy().astype(np.int32)]),
            self.ids.extended([pa.table({"row_number": places, "text": found.column("text")})]),
            row_count,
        )


def no_order_ids() -> OrderIds:
    return OrderIds(np.zeros(0, np.int32), no_column(), 0)


def order_rows(
    cursor: duckdb.DuckDBPyConnection, storefront_id: int, name_id: int, first: int, end: int, shapes: Shapes
) -> pa.Table:
    """row_number and text, the order's id, of the events of that name among the rows [first, end); ascending."""
    sql, parameters = text_sql(Subject(ORDER_ID), shapes)
    return cursor.sql(
        f"""
        SELECT row_number, left({sql}, {TEXT_MAX}) AS text FROM event
        WHERE storefront_id = ? AND name_id = ? AND row_number >= ? AND row_number < ? ORDER BY row_number
        """,  # noqa: S608  # made from our own words and numbers; names are bound
        params=[*parameters, storefront_id, name_id, first, end],
    ).to_arrow_table()
