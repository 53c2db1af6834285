"""Columns in memory: the texts of conditions, extended by what is new; never more than fits, never what is gone."""

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from app.mirror import scan as scan_module
from app.mirror.columns import Column, ColumnCache, Subject
from tests.unit.mirror.rows import FilledMirror, Row

COLOUR = Subject("colour")


def colours(*values: object) -> list[Row]:
    return [Row(properties={"colour": value}) for value in values]


def texts(column: Column) -> list[str | None]:
    """By row number."""
    return [column.texts[code] if code >= 0 else None for code in column.codes.tolist()]


def kept(filled: FilledMirror) -> list[str]:
    """Which columns are held in memory."""
    return [what.name for _, what in filled.mirror.columns._entries if isinstance(what, Subject)]


def texts_of(filled: FilledMirror, subject: Subject = COLOUR, storefront_id: int = 1) -> list[str | None]:
    with filled.scan(storefront_id) as scan:
        return texts(scan.column(subject))


def test_a_property_is_its_text_and_absent_or_null_is_not_set(filled: FilledMirror) -> None:
    filled.add(*colours("red", 10, "10", True, None, [1, "a"], ""), Row(), Row(properties={"other": "red"}))
    with filled.scan() as scan:
        column = scan.column(COLOUR)
    assert texts(column) == ["red", "10", "10", "true", None, '[1,"a"]', "", None, None]
    assert len(column.texts) == len(set(column.texts)) == 5
    assert column.codes.dtype == np.int32


def test_properties_with_and_without_a_shape_are_the_same(filled: FilledMirror) -> None:
    both = {"size": 1, "colour": "red"}
    filled.add(Row(properties=both, shaped=True), Row(properties=both), Row(properties={"size": 2}, shaped=True))
    assert texts_of(filled) == ["red", "red", None]


def test_a_column_is_of_one_storefront(filled: FilledMirror) -> None:
    filled.add(*colours("red"), Row(storefront_id=2, properties={"colour": "blue"}), *colours("green"))
    assert texts_of(filled) == ["red", "green"]
    assert texts_of(filled, storefront_id=2) == ["blue"]
    assert texts_of(filled, storefront_id=3) == []


def test_bots_have_their_place_too(filled: FilledMirror) -> None:
    filled.add(Row(properties={"colour": "red"}, is_bot=True), *colours("green"))
    assert texts_of(filled) == ["red", "green"]


def test_new_rows_extend_a_column_and_keep_the_codes_of_those_before(filled: FilledMirror) -> None:
    filled.add(*colours("red", "green"))
    with filled.scan() as scan:
        before = scan.column(COLOUR)
    for added in ("green", "blue", "red"):
        filled.add(*colours(added))
        with filled.scan() as scan:
            column = scan.column(COLOUR)
    assert texts(column) == ["red", "green", "green", "blue", "red"]
    assert list(column.texts) == ["red", "green", "blue"]
    assert texts(before) == ["red", "green"]


def test_only_new_rows_are_read(filled: FilledMirror) -> None:
    filled.add(*colours("red", "green"))
    texts_of(filled)
    filled.execute("""UPDATE event SET properties = '{"colour": "changed behind its back"}'""")
    filled.add(*colours("blue"))
    assert texts_of(filled) == ["red", "green", "blue"]


def test_holes_that_erasures_left_are_not_set(filled: FilledMirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "PIECE_ROWS", 2)  # so that one piece is a hole altogether
    filled.add(*colours("a", "b", "c", "d", "e", "f", "g"))
    filled.execute("DELETE FROM event WHERE row_number IN (1, 2, 3, 4)")
    assert texts_of(filled) == ["a", None, None, None, None, "f", "g"]


def test_a_scan_that_sees_less_than_others_have_read_finds_what_it_sees(filled: FilledMirror) -> None:
    filled.add(*colours("red"))
    with filled.scan() as early:
        filled.add(*colours("green"))
        assert texts_of(filled) == ["red", "green"]
        assert texts(early.column(COLOUR))[:1] == ["red"]
    assert texts_of(filled) == ["red", "green"]


def test_a_scan_that_began_early_leaves_a_column_that_later_ones_extend(filled: FilledMirror) -> None:
    filled.add(*colours("red"))
    with filled.scan() as early:
        filled.add(*colours("green"))
        assert texts(early.column(COLOUR)) == ["red"]
    assert texts_of(filled) == ["red", "green"]


def test_numbers_are_those_of_conditions(filled: FilledMirror) -> None:
    filled.add(*colours(10, "9.5", "-1e3", "ten", "", "NaN", "inf", " 1", "1e400", "0x10", "1_0", "٣", True, 10))
    with filled.scan() as scan:
        column = scan.column(COLOUR)
    numbers = dict(zip(column.texts, column.numbers().tolist(), strict=True))
    assert {text: number for text, number in numbers.items() if not math.isnan(number)} == {
        "10": 10.0,
        "9.5": 9.5,
        "-1e3": -1000.0,
    }
    assert len(numbers) == 13


def test_numbers_of_new_texts_join_those_known(filled: FilledMirror) -> None:
    filled.add(*colours(1, 2))
    with filled.scan() as scan:
        assert scan.column(COLOUR).numbers().tolist() == [1, 2]
    filled.add(*colours(2, 3))
    with filled.scan() as scan:
        assert scan.column(COLOUR).numbers().tolist() == [1, 2, 3]


def test_the_column_not_used_for_longest_goes_when_there_is_no_more_room() -> None:
    filled = FilledMirror(cache_bytes=2_500)
    filled.add(*(Row(properties=dict.fromkeys("abc", "x")) for _ in range(200)))  # 900 bytes of codes a column
    for name in "abac":
        texts_of(filled, Subject(name))
    assert kept(filled) == ["a", "c"]
    filled.mirror.close()


def test_a_column_larger_than_the_room_is_used_and_not_kept() -> None:
    filled = FilledMirror(cache_bytes=2_500)
    filled.add(*(Row(properties={"small": "x", "large": f"{n:0200}"}) for n in range(200)))
    assert texts_of(filled, Subject("small")) == ["x"] * 200
    assert texts_of(filled, Subject("large"))[199] == f"{199:0200}"
    assert kept(filled) == ["small"]
    filled.mirror.close()


def test_within_one_scan_a_column_is_read_once_however_large() -> None:
    filled = FilledMirror(cache_bytes=0)
    filled.add(*colours("red"))
    with filled.scan() as scan:
        assert scan.column(COLOUR) is scan.column(COLOUR)
    assert kept(filled) == []
    filled.mirror.close()


def test_what_was_erased_is_forgotten(filled: FilledMirror) -> None:
    filled.add(*colours("red", "secret", "green"))
    texts_of(filled)
    filled.execute("DELETE FROM event WHERE row_number = 1")
    filled.mirror.columns.clear()
    assert kept(filled) == []
    assert texts_of(filled) == ["red", None, "green"]


def test_a_scan_from_before_an_erasure_leaves_nothing_behind(filled: FilledMirror) -> None:
    filled.add(*colours("red", "secret"))
    with filled.scan() as before:
        filled.execute("DELETE FROM event WHERE row_number = 1")
        filled.mirror.columns.clear()
        assert texts(before.column(COLOUR)) == ["red", "secret"]
        assert kept(filled) == []
        assert texts_of(filled) == ["red"]
        assert texts(before.column(COLOUR)) == ["red", "secret"]
    assert texts_of(filled) == ["red"]


def test_nothing_is_kept_of_a_column_under_way_when_all_is_forgotten() -> None:
    cache = ColumnCache(1024**2)

    def erased_meanwhile(_: int) -> Iterator[pa.Table]:
        cache.clear()
        yield pa.table({"row_number": pa.array([0], pa.int32()), "text": ["secret"]})

    assert texts(cache.column(1, COLOUR, cache.generation, erased_meanwhile)) == ["secret"]
    assert cache.column(1, COLOUR, cache.generation, lambda _: iter([])).codes.tolist() == []


def test_many_threads_build_a_column_once() -> None:
    cache, together, builds = ColumnCache(1024**2), threading.Barrier(8), []

    def pieces(first_row_number: int) -> Iterator[pa.Table]:
        if first_row_number == 0:
            builds.append(threading.get_ident())
            yield pa.table({"row_number": pa.array([0, 1], pa.int32()), "text": ["red", None]})

    def ask(_: int) -> list[str | None]:
        together.wait(10)
        return texts(cache.column(1, COLOUR, cache.generation, pieces))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [["red", None]] * 8
    assert len(builds) == 1


def test_a_failure_while_a_column_is_built_leaves_it_as_it_was() -> None:
    cache = ColumnCache(1024**2)

    def fails(_: int) -> Iterator[pa.Table]:
        yield pa.table({"row_number": pa.array([0], pa.int32()), "text": ["half"]})
        raise OSError("out of luck")

    with pytest.raises(OSError, match="out of luck"):
        cache.column(1, COLOUR, cache.generation, fails)
    assert cache.column(1, COLOUR, cache.generation, lambda _: iter([])).codes.tolist() == []
