"""Conditions on event properties as DuckDB SQL. Names and values are always bound, never part of the text."""

from collections.abc import Sequence
from typing import Any

from app.domain.funnel import Condition, Operator, Scalar

# A condition and its parameters, in order.
Sql = tuple[str, list[Any]]

# The property as text, NULL when it is absent or null. The path is a JSON pointer, in which any name can be written.
_TEXT = "json_extract_string(properties, ?)"
# Numbers as we accept them, in numbers and in numeric text alike; nothing else may reach the cast.
_NUMBER = r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$"
_AS_NUMBER = f"CASE WHEN regexp_full_match({_TEXT}, '{_NUMBER}') THEN TRY_CAST({_TEXT} AS DOUBLE) END"


def condition_sql(condition: Condition) -> Sql:
    """Never NULL: true or false for every row (semantics of `domain.funnel.Condition`)."""
    path, value = _pointer(condition.property), condition.value
    match condition.op:
        case Operator.EXISTS:
            return f"({_TEXT} IS {'NULL' if value is False else 'NOT NULL'})", [path]
        case Operator.EQUAL:
            return _any_equal(path, [value])
        case Operator.NOT_EQUAL:
            sql, parameters = _any_equal(path, [value])
            return f"(NOT {sql})", parameters
        case Operator.IN:
            return _any_equal(path, value if isinstance(value, tuple) else [value])
        case Operator.CONTAINS:
            return f"coalesce(contains({_TEXT}, ?), false)", [path, _text(value)]
        case Operator.LESS | Operator.GREATER:
            return _compare(path, condition.op.value, value)


def all_sql(conditions: Sequence[Condition]) -> Sql:
    parts = [condition_sql(condition) for condition in conditions]
    return " AND ".join(sql for sql, _ in parts) or "true", [value for _, values in parts for value in values]


def _any_equal(path: str, values: Sequence[Any]) -> Sql:
    numbers = [float(value) for value in values if _is_number(value)]
    texts = [_text(value) for value in values if not _is_number(value)]
    sql = (
        f"(coalesce(list_contains(?::DOUBLE[], {_AS_NUMBER}), false)"
        f" OR coalesce(list_contains(?::VARCHAR[], {_TEXT}), false))"
    )
    return sql, [numbers, path, path, texts, path]


def _compare(path: str, operator: str, value: Any) -> Sql:
    if _is_number(value):
        return f"coalesce({_AS_NUMBER} {operator} ?, false)", [path, path, float(value)]
    return f"coalesce({_TEXT} {operator} ?, false)", [path, _text(value)]


def _is_number(value: Scalar | Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
