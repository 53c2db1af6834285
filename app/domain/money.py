"""Amounts of money as whole numbers of a currency's smallest unit, so that sums are exact."""

import re
from decimal import ROUND_HALF_UP, Decimal

# ISO 4217: digits behind the point, where they are not two.
_MINOR_DIGITS = {
    currency: digits
    for digits, currencies in (
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    )
    for currency in currencies.split()
}
AMOUNT_MAX_MINOR = 10**15  # of one order; a double still shows it to the smallest unit

_is_currency = re.compile("[A-Za-z]{3}").fullmatch
_is_number = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,4})?", re.ASCII).fullmatch


def currency_of(text: str) -> str | None:
    """The code as ISO 4217 writes it; None for a text that can be none. Which codes exist is not asked."""
    return text.upper() if _is_currency(text) else None


def minor_digits(currency: str) -> int:
    return _MINOR_DIGITS.get(currency, 2)


def number_of(text: str) -> Decimal | None:
    """As in conditions: numbers and numeric texts alike, with a point and nothing around them."""
    return Decimal(text) if _is_number(text) else None


def to_minor(amount: Decimal, digits: int) -> int | None:
    """Half a unit is rounded away from zero: shops send 19.990000000000002, which nobody pays. None: too large."""
    if amount.adjusted() + digits > len(str(AMOUNT_MAX_MINOR)):  # first: rounding works on 28 digits
        return None
    minor = int(amount.scaleb(digits).to_integral_value(ROUND_HALF_UP))
    return minor if abs(minor) <= AMOUNT_MAX_MINOR else None


def from_minor(amount_minor: int, digits: int) -> float:
    """In units of the currency: the nearest double, which is written with exactly these digits up to 15 of them."""
    unit: int = 10**digits
    return amount_minor / unit
