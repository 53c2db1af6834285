"""An answer as one table: flat rows, and columns whose types do not depend on what the rows hold."""

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel

Cell = str | int | float | bool | datetime | None
CELL_TYPES = (str, int, float, bool, datetime)


@dataclass(frozen=True, slots=True)
class Table:
    """columns: the type of each one's cells, any of which may be None too."""

    columns: Mapping[str, type]
    rows: list[dict[str, Cell]]


def table_of(model: type[BaseModel], rows: Iterable[tuple[Mapping[str, Cell], BaseModel]], **leading: type) -> Table:
    """One row for each of the models, which all have the fields of `model`.

    The models in a model add their fields to its row, `seconds` with `median` as `seconds_median`; lists are left out.
    A field that may hold several types becomes text. rows: the cells of the leading columns, and a model.
    """
    paths = dict(_columns(model))
    columns = {**leading, **{"_".join(path): kind for path, kind in paths.items()}}
    return Table(
        columns,
        [
            {**dict.fromkeys(leading), **cells, **{"_".join(path): _cell(row, path, paths[path]) for path in paths}}
            for cells, row in rows
        ],
    )


def _columns(model: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], type]]:
    """Where each column's cells are found in the model, and their type."""
    for name, field in model.model_fields.items():
        kind = _kind(field.annotation)
        if kind is not None and issubclass(kind, BaseModel):
            yield from (((name, *path), inner) for path, inner in _columns(kind))
        elif kind is not None:
            yield (name,), kind


def _kind(annotation: Any) -> type | None:
    """The type of cells, or the model whose fields are columns; None for what a cell can't hold."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [_kind(each) for each in get_args(annotation) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else None if None in kinds else str
    if get_origin(annotation) is Literal:
        return type(get_args(annotation)[0])
    if annotation is AwareDatetime:
        return datetime
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return str
    is_fit = isinstance(annotation, type) and (annotation in CELL_TYPES or issubclass(annotation, BaseModel))
    return annotation if is_fit else None


def _cell(row: BaseModel, path: tuple[str, ...], kind: type) -> Cell:
    value: Any = row
    for name in path:
        value = getattr(value, name, None)
    if value is not None and kind is str:
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value  # type: ignore[no-any-return]  # the model has seen to its type
