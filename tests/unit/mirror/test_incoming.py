"""Rows are numbered within their storefront, in the order in which they came."""

import numpy as np

from app.mirror.incoming import _row_numbers
from tests.unit.mirror.rows import FilledMirror, Row


def numbers(storefront_ids: list[int], next_rows: dict[int, int]) -> list[int]:
    return list(map(int, _row_numbers(np.array(storefront_ids, np.int32), next_rows)))


def test_each_storefront_counts_its_rows_from_0() -> None:
    next_rows: dict[int, int] = {}
    assert numbers([7, 7, 3, 7, 3], next_rows) == [0, 1, 0, 2, 1]
    assert next_rows == {7: 3, 3: 2}


def test_the_next_batch_goes_on_from_there() -> None:
    next_rows = {7: 3, 3: 2}
    assert numbers([3, 9, 7, 7, 3], next_rows) == [2, 0, 3, 4, 3]
    assert next_rows == {7: 5, 3: 4, 9: 1}


def test_numbers_and_names_go_on_from_those_in_the_file(filled: FilledMirror) -> None:
    filled.add(Row(), Row("product_added"), Row(storefront_id=2))
    filled._numbering.forget()
    filled.add(Row("product_added"), Row("order_completed", storefront_id=2))
    with filled.mirror.cursor() as cursor:
        found = cursor.execute("SELECT storefront_id, row_number, name FROM event JOIN event_name USING (name_id)")
        assert sorted(found.fetchall()) == [
            (1, 0, "product_viewed"),
            (1, 1, "product_added"),
            (1, 2, "product_added"),
            (2, 0, "product_viewed"),
            (2, 1, "order_completed"),
        ]
