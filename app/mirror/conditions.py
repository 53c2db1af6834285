"""Conditions on event properties as DuckDB SQL. Names and values are always bound, never part of the text."""

from collections.abc import Iterable, Sequence
from typing import Any

from app.domain.funnel import Condition, Operator, Scalar

# A condition and its parameters, in order.
Sql = tuple[str, list[Any]]

# The property as text, NULL when it is absent or null. The first path is of events without a shape: a JSON pointer, in
# which any name can be written. The others are by shape_id: the place of the property in the array of values.
_TEXT = (
    "json_extract_string(properties, CASE WHEN shape_id IS NULL THEN ? ELSE list_extract(?::VARCHAR[], shape_id) END)"
)
# Numbers as we accept them, in numbers and in numeric text alike; nothing else may reach the cast.
_NUMBER = r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$"
_AS_NUMBER = f"CASE WHEN regexp_full_match({_TEXT}, '{_NUMBER}') THEN TRY_CAST({_TEXT} AS DOUBLE) END"


class Shapes:
    """Where the properties of events with a shape are. shapes: (shape_id from 1, names)."""

    def __init__(self, shapes: Iterable[tuple[int, Sequence[str]]] = ()) -> None:
        self._shapes = list(shapes)
        self._length = max((shape_id for shape_id, _ in self._shapes), default=0)

    def paths(self, name: str) -> list[Any]:
        """The parameters of _TEXT."""
        by_shape: list[str | None] = [None] * self._length
        for shape_id, names in self._shapes:
            if name in names:
                by_shape[shape_id - 1] = f"/{names.index(name)}"
        return [_pointer(name), by_shape]


def condition_sql(condition: Condition, shapes: Shapes) -> Sql:
    """Never NULL: true or false for every row (semantics of `domain.funnel.Condition`)."""
    paths, value = shapes.paths(condition.property), condition.value
    match condition.op:
        case Operator.EXISTS:
            return f"({_TEXT} IS {'NULL' if value is False else 'NOT NULL'})", paths
        case Operator.EQUAL:
            return _any_equal(paths, [value])
        case Operator.NOT_EQUAL:
            sql, parameters = _any_equal(paths, [value])
            return f"(NOT {sql})", parameters
        case Operator.IN:
            return _any_equal(paths, value if isinstance(value, tuple) else [value])
        case Operator.CONTAINS:
            return f"coalesce(contains({_TEXT}, ?), false)", [*paths, _text(value)]
        case Operator.LESS | Operator.GREATER:
            return _compare(paths, condition.op.value, value)


def all_sql(conditions: Sequence[Condition], shapes: Shapes) -> Sql:
    parts = [condition_sql(condition, shapes) for condition in conditions]
    return " AND ".join(sql for sql, _ in parts) or "true", [value for _, values in parts for value in values]


def _any_equal(paths: list[Any], values: Sequence[Any]) -> Sql:
    numbers = [float(value) for value in values if _is_number(value)]
    texts = [_text(value) for value in values if not _is_number(value)]
    sql = (
        f"(coalesce(list_contains(?::DOUBLE[], {_AS_NUMBER}), false)"
        f" OR coalesce(list_contains(?::VARCHAR[], {_TEXT}), false))"
    )
    return sql, [numbers, *paths, *paths, texts, *paths]


def _compare(paths: list[Any], operator: str, value: Any) -> Sql:
    if _is_number(value):
        return f"coalesce({_AS_NUMBER} {operator} ?, false)", [*paths, *paths, float(value)]
    return f"coalesce({_TEXT} {operator} ?, false)", [*paths, _text(value)]


def _is_number(value: Scalar | Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
