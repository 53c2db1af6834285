"""Whether bytes that may be JSON, whole or broken, mention an id of a person."""

import re
from collections.abc import Callable, Iterable

Mentions = Callable[[bytes], bool]

# JSON's short escapes; any character may also be written as \uXXXX.
SHORT_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
# A number is taken for an id only where a key says so: `"user_id": 17`, `"userId":17`.
NUMBER_AS_ID = rb'[iI][dD]"\s*:\s*%s(?![\w.])'


def mentions(keys: Iterable[str]) -> Mentions:
    """Does a text contain one of the keys as a JSON string, escaped in any way, or as a number under an id's name?

    Only a string's bounds and what lies between them are looked at, so that broken JSON is no hiding place. A string
    that the end of the text cuts off right after the key counts too.
    """
    parts = [rb'"%s(?:"|\Z)' % b"".join(map(_any_spelling, key)) for key in keys]
    parts += [NUMBER_AS_ID % key.encode() for key in keys if key.isascii() and key.isdigit()]
    if not parts:
        return lambda _: False
    pattern = re.compile(b"|".join(parts))
    return lambda text: pattern.search(text) is not None


def _any_spelling(character: str) -> bytes:
    units = character.encode("utf-16-be", "surrogatepass")
    spellings = [
        re.escape(character.encode("utf-8", "surrogatepass")),
        b"".join(rb"\\u(?i:%02x%02x)" % (units[i], units[i + 1]) for i in range(0, len(units), 2)),
    ]
    if character in SHORT_ESCAPES:
        spellings.append(re.escape(b"\\" + SHORT_ESCAPES[character].encode()))
    return b"(?:" + b"|".join(spellings) + b")"
