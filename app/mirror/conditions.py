"""Conditions on event properties and dimensions as DuckDB SQL. Names and values of senders are bound, never text."""

from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.domain.funnel import Condition, Operator, Scalar
from app.mirror.columns import Subject, number_sql
from app.mirror.dimensions import find_dimension

# An expression and its parameters, in order.
Sql = tuple[str, list[Any]]

# The property as text, NULL when it is absent or null. The first path is of events without a shape: a JSON pointer, in
# which any name can be written. The others are by shape_id: the place of the property in the array of values.
_TEXT = (
    "json_extract_string(properties, CASE WHEN shape_id IS NULL THEN ? ELSE list_extract(?::VARCHAR[], shape_id) END)"
)


class Shapes:
    """Where the properties of events with a shape are. shapes: (shape_id from 1, names)."""

    def __init__(self, shapes: Iterable[tuple[int, Sequence[str]]] = ()) -> None:
        self._names = dict(shapes)
        self._length = max(self._names, default=0)

    def paths(self, name: str) -> list[Any]:
        """The parameters of _TEXT."""
        by_shape: list[str | None] = [None] * self._length
        for shape_id, names in self._names.items():
            if name in names:
                by_shape[shape_id - 1] = f"/{names.index(name)}"
        return [_pointer(name), by_shape]

    def named(self, shape_id: int | None, stored: Any) -> dict[str, Any]:
        """Properties as they were sent, from the object or the array of values that is stored."""
        return dict(stored if shape_id is None else zip(self._names[shape_id], stored, strict=True))


def text_sql(subject: Subject, shapes: Shapes) -> Sql:
    """The subject's text, NULL when the event has none. Raises Invalid when there is no such dimension."""
    if subject.is_dimension:
        return f"({find_dimension(subject.name).sql})", []
    return _TEXT, shapes.paths(subject.name)


def condition_sql(condition: Condition, shapes: Shapes) -> Sql:
    """Never NULL: true or false for every row (semantics of `domain.funnel.Condition`)."""
    return _comparison_sql(condition, text_sql(Subject(condition.property, condition.is_dimension), shapes))


def holding(condition: Condition, texts: pa.Array) -> npt.NDArray[np.bool_]:
    """Per text whether the condition holds for an event that has it; and last, whether for one that has none."""
    sql, parameters = _comparison_sql(condition, ("text", []))
    with duckdb.connect(config={"threads": 1, "enable_external_access": False}) as connection:
        connection.register("given", pa.table({"text": pa.concat_arrays([texts, pa.nulls(1, texts.type)])}))
        found = connection.sql(f"SELECT {sql} AS holds FROM given", params=parameters).to_arrow_table()  # noqa: S608  # our own words
    holds: npt.NDArray[np.bool_] = found.column("holds").to_numpy()
    return holds


def _comparison_sql(condition: Condition, subject: Sql) -> Sql:
    (text, parameters), value = subject, condition.value
    match condition.op:
        case Operator.EXISTS:
            return f"({text} IS {'NULL' if value is False else 'NOT NULL'})", parameters
        case Operator.EQUAL:
            return _any_equal(subject, [value])
        case Operator.NOT_EQUAL:
            sql, parameters = _any_equal(subject, [value])
            return f"(NOT {sql})", parameters
        case Operator.IN:
            return _any_equal(subject, value if isinstance(value, tuple) else [value])
        case Operator.CONTAINS:
            return f"coalesce(contains({text}, ?), false)", [*parameters, _text(value)]
        case Operator.LESS | Operator.GREATER:
            return _compare(subject, condition.op.value, value)


def all_sql(conditions: Sequence[Condition], shapes: Shapes) -> Sql:
    parts = [condition_sql(condition, shapes) for condition in conditions]
    return " AND ".join(sql for sql, _ in parts) or "true", [value for _, values in parts for value in values]


def _any_equal(subject: Sql, values: Sequence[Any]) -> Sql:
    text, parameters = subject
    numbers = [float(value) for value in values if _is_number(value)]
    texts = [_text(value) for value in values if not _is_number(value)]
    among_texts = f"coalesce(list_contains(?::VARCHAR[], {text}), false)"
    if not numbers:
        return among_texts, [texts, *parameters]
    among_numbers = f"coalesce(list_contains(?::DOUBLE[], {number_sql(text)}), false)"
    return f"({among_numbers} OR {among_texts})", [numbers, *parameters, *parameters, texts, *parameters]


def _compare(subject: Sql, operator: str, value: Any) -> Sql:
    text, parameters = subject
    if _is_number(value):
        return f"coalesce({number_sql(text)} {operator} ?, false)", [*parameters, *parameters, float(value)]
    return f"coalesce({text} {operator} ?, false)", [*parameters, _text(value)]


def _is_number(value: Scalar | Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
