"""Takes e-mail addresses and card numbers out of what an event says, and counts them.

Ids stay as they are: whoever sends an e-mail address as customer_id has chosen it to be one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from app.domain.event import Event
from app.ingest.pipeline import NO_FAULTS, Arrival, Faults

EMAIL, CARD = "email", "card"

# Numbers of goods and orders are as long as those of cards, and one in ten passes for one.
ID_PROPERTIES = frozenset({"order_id"})
CODE_PROPERTIES = frozenset({"product_id", "variant_id", "cart_id", "sku", "gtin", "ean", "upc", "isbn", "barcode"})
_NO_CARDS = ID_PROPERTIES | CODE_PROPERTIES

_DIGITS_MIN, _DIGITS_MAX = 13, 19
_GROUP = 4  # figures with which every card's number begins, however it is grouped
_NUMBER_MIN = 10 ** (_DIGITS_MIN - 1)

# The only look that most requests get: any figure counts as 0, what may stand between two of them as nothing.
_encode = msgspec.json.Encoder().encode
_AS_ZEROS = bytes.maketrans(b"0123456789", b"0" * 10)
_MANY_FIGURES = b"0" * _DIGITS_MIN
# The only looks that most texts get.
_TEXT_MIN = 6  # characters of the shortest address, a@b.de
_may_hold_card = re.compile(f"[2-6][0-9 .-]{{{_DIGITS_MIN - 1}}}").search
# Each run of characters is tried once, from its beginning: a text of nothing but them takes no longer than another.
# `@2x.` is how pictures of twice the resolution are named.
_EMAIL = re.compile(
    r"(?<![\w.+'-])[\w.+'-]++(?:@|%40)(?![0-9]x\.)(?:[\w-]++\.)+(?:xn--[\w-]+|[^\W\d_]{2,})", re.IGNORECASE
)
# A UUID is no number, though a hundredth of them have as many digits in a row.
_CARD = re.compile(
    "([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"
    f"|(?<![0-9A-Za-z])[2-6][0-9]{{3}}(?:[ .-]?[0-9]){{{_DIGITS_MIN - _GROUP},{_DIGITS_MAX - _GROUP}}}(?![0-9A-Za-z])"
)
# Who issues cards, and with how many digits (ISO/IEC 7812): Visa; Mastercard; American Express; Diners Club and JCB;
# Discover, UnionPay and Maestro; Maestro.
_is_issued = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3[05689]\d{12,17}|6\d{12,18}|5[06-8]\d{11,17}"
).fullmatch
_SEPARATORS = str.maketrans("", "", " .-")
# Values of figures: as they are, and twice as much with its figures added up.
_ONCE = bytes.maketrans(b"0123456789", bytes(range(10)))
_TWICE = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))


def redact(events: Sequence[Event], arrival: Arrival) -> Faults:
    if arrival.redacts and _any_suspect(events):
        found = arrival.redacted
        for event in events:
            event.url = event.url and redacted(event.url, found)
            event.referrer = event.referrer and redacted(event.referrer, found)
            _redact_members(event.properties, event.properties.items(), found)
    return NO_FAULTS


def _any_suspect(events: Sequence[Event]) -> bool:
    """One look at all that they say, as JSON: it is far quicker to write than to walk through."""
    said = _encode([(event.url, event.referrer, event.properties) for event in events])
    # A single character is found at once, three take longer.
    return b"@" in said or (b"%" in said and b"%40" in said) or _MANY_FIGURES in said.translate(_AS_ZEROS, b" .-")


def redacted(text: str, found: Counter[str], *, is_code: bool = False) -> str:
    """The text with `[email]` and `[card]`; found: how many of each kind, added to. is_code: cards are none here."""
    if not _is_suspect(text):
        return text
    text, count = _EMAIL.subn("[email]", text)
    if count:
        found[EMAIL] += count
    return text if is_code else _without_cards(text, found)


def _is_suspect(text: str) -> bool:
    return len(text) >= _TEXT_MIN and (
        "@" in text or "%40" in text or (len(text) >= _DIGITS_MIN and _may_hold_card(text) is not None)
    )


def _redact_members(holder: Any, members: Iterable[tuple[Any, Any]], found: Counter[str]) -> None:
    """In place: of an object or an array its members, nested ones too (no deeper than events may be)."""
    for key, value in members:
        kind = type(value)
        if kind is str:
            # As _is_suspect; written out here, where every text comes by.
            if (
                len(value) >= _TEXT_MIN
                and ("@" in value or "%40" in value or (len(value) >= _DIGITS_MIN and _may_hold_card(value)))
                and key not in ID_PROPERTIES
            ):
                holder[key] = redacted(value, found, is_code=key in CODE_PROPERTIES)
        elif kind is dict:
            _redact_members(value, value.items(), found)
        elif kind is list:
            _redact_members(value, enumerate(value), found)
        elif kind is int and value >= _NUMBER_MIN and key not in _NO_CARDS and _is_card(str(value)):
            found[CARD] += 1
            holder[key] = "[card]"


def _without_cards(text: str, found: Counter[str]) -> str:
    parts: list[str] = []
    kept_from = looked_at = 0
    while run := _CARD.search(text, looked_at):
        length = None if run[1] else _card_length(run[0])
        if length is not None:
            found[CARD] += 1
            parts += text[kept_from : run.start()], "[card]"
            kept_from = looked_at = run.start() + length
        elif run[1]:
            looked_at = run.end()
        else:  # another number may stand before the card's: go on behind its first figures
            looked_at = run.start() + _GROUP
    return "".join(parts) + text[kept_from:]


def _card_length(run: str) -> int | None:
    """A card's number may be followed by other figures: by when it expires, and by its check number."""
    for length in range(len(run), _DIGITS_MIN - 1, -1):
        if not run[length : length + 1].isdigit() and _is_card(run[:length].translate(_SEPARATORS)):
            return length
    return None


def _is_card(digits: str) -> bool:
    """Issued by somebody, and with the right last digit (Luhn's)."""
    if not _is_issued(digits):
        return False
    figures = digits.encode()
    return (sum(figures[-1::-2].translate(_ONCE)) + sum(figures[-2::-2].translate(_TWICE))) % 10 == 0
