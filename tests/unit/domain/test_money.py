"""Amounts as whole numbers of a currency's smallest unit."""

from decimal import Decimal

import pytest

from app.domain.money import currency_of, from_minor, minor_digits, number_of, to_minor


@pytest.mark.parametrize(("currency", "digits"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("QQQ", 2)])
def test_most_currencies_have_two_digits(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits


@pytest.mark.parametrize(
    ("text", "currency"), [("eur", "EUR"), ("EUR", "EUR"), ("€", None), ("", None), ("eu\u017f", None)]
)
def test_a_currency_is_three_letters_in_either_case(text: str, currency: str | None) -> None:
    assert currency_of(text) == currency


@pytest.mark.parametrize(
    ("text", "digits", "minor"),
    [
        ("19.99", 2, 1999),
        ("19.990000000000002", 2, 1999),
        ("0.30000000000000004", 2, 30),
        ("1e3", 2, 100_000),
        ("2.5", 0, 3),
        ("-2.5", 0, -3),
        ("1.0005", 3, 1001),
        ("0." + "0" * 5_000 + "1", 2, 0),
        ("1e-9999", 2, 0),
        ("10000000000000", 2, 10**15),
        ("10000000000000.01", 2, None),
        ("9" * 400, 2, None),
        ("1e9999", 2, None),
    ],
)
def test_amounts_are_rounded_to_the_smallest_unit_and_have_an_end(text: str, digits: int, minor: int | None) -> None:
    assert to_minor(number_of(text) or Decimal(0), digits) == minor


@pytest.mark.parametrize(
    "text", ["", "ten", "1,5", "1_000", " 1", "٣", "Infinity", "NaN", "0x10", "1e99999999999999999999"]
)
def test_other_texts_are_no_numbers(text: str) -> None:
    assert number_of(text) is None


def test_an_amount_is_written_with_its_own_digits() -> None:
    assert [repr(from_minor(minor, 2)) for minor in (10, 1999, -5, 10**15 - 1)] == [
        "0.1",
        "19.99",
        "-0.05",
        "9999999999999.99",
    ]
    assert repr(from_minor(1_500, 0)) == "1500.0"
