"""What the log says of a job that failed."""

import logging

import pytest
from sqlalchemy.exc import DataError

from app.errors import FootfallError
from app.jobs import attempt


def failed(caplog: pytest.LogCaptureFixture) -> object:
    [record] = caplog.records
    return vars(record)["error"]


async def test_a_drivers_error_is_told_by_its_kind_as_its_text_quotes_rows(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise DataError("SELECT 'ana@example.com'", ("ana@example.com",), ValueError("ana@example.com"))

    with caplog.at_level(logging.WARNING):
        assert not await attempt("retention", fail)

    assert failed(caplog) == "DataError"
    assert "ana" not in str(vars(caplog.records[0]))


async def test_our_own_error_is_told_in_words(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise FootfallError("A transaction is in the way.")

    with caplog.at_level(logging.WARNING):
        assert not await attempt("migrations", fail)

    assert failed(caplog) == "A transaction is in the way."
