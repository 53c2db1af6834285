"""What properties and dimensions are of some events: for questions about many of them, but of few events.

Each event's properties are read once for all of them; `Scan.column` is the way for one of them, of every event.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.mirror.columns import NOT_SET, Subject
from app.mirror.conditions import Shapes, text_sql

TEXT_MAX = 200  # characters: values that begin alike are taken for one; bounds what is held, as a property can be long


class Coded(NamedTuple):
    """codes: per event the place in texts, or NOT_SET."""

    codes: npt.NDArray[np.int32]
    texts: list[str]


def texts_of_rows(
    cursor: duckdb.DuckDBPyConnection,
    storefront_id: int,
    row_numbers: npt.NDArray[np.int64],
    subjects: Sequence[Subject],
    shapes: Shapes,
) -> Iterator[Coded]:
    """Of each subject in turn. row_numbers: ascending, some ten thousand at most."""
    columns: list[str] = []
    parameters: list[Any] = []
    for place, subject in enumerate(subjects):
        sql, values = text_sql(subject, shapes)
        columns.append(f"left({sql}, {TEXT_MAX}) AS text_{place}")
        parameters += values
    table = cursor.sql(
        f"""
        SELECT {", ".join(columns)} FROM event
        WHERE storefront_id = ? AND row_number >= ? AND row_number <= ? AND row_number IN (SELECT unnest(?::BIGINT[]))
        ORDER BY row_number
        """,  # noqa: S608  # made from our own words and numbers; names are bound
        params=[*parameters, storefront_id, int(row_numbers[0]), int(row_numbers[-1]), row_numbers.tolist()],
    ).to_arrow_table()
    for column in table.columns:
        encoded = column.cast(pa.large_string()).combine_chunks().dictionary_encode()
        yield Coded(encoded.indices.fill_null(NOT_SET).to_numpy(), encoded.dictionary.to_pylist())
