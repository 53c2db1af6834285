"""Cuts a JSON array or object into its members without decoding them, so that one faulty event spoils no other.

Works on brackets and strings only: what a piece holds is for the decoder to judge. Linear in the size of the body, and
ends where there is more of anything than events can have: it is slow.
"""

import re
from itertools import islice

# A string that the end cuts off is a token too: the search for its end would begin anew at each of its characters.
# Nothing is ever taken back (`++`), which makes the worst strings ten times faster.
_TOKEN = re.compile(rb'"(?:[^"\\]++|(?:\\.)++)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
_MEMBER = re.compile(rb'\s*("(?:[^"\\]++|(?:\\.)++)*+")\s*:(.*)', re.DOTALL)
_OPEN, _CLOSE, _COMMA = b"[{", b"]}", b","


# A thousand events of a hundred properties each have 300,000 tokens; so many take half a second.
TOKENS_MAX = 500_000


class SplitError(ValueError):
    """The brackets don't match: the body is cut off, or no JSON."""


class TooManyPieces(Exception):
    """There are more elements or members than asked for."""


def split_elements(body: bytes, max_count: int) -> list[bytes]:
    """The elements of `[...]` or the members of `{...}`, as they stand. Raises SplitError or TooManyPieces."""
    pieces: list[bytes] = []
    depth = 0
    start = end = 0
    for token in islice(_TOKEN.finditer(body), TOKENS_MAX):
        first = token[0][:1]
        if first in _OPEN:
            depth += 1
            if depth == 1:
                start = token.end()
        elif first in _CLOSE:
            depth -= 1
            if depth == 0:
                pieces.append(body[start : token.start()].strip())
                end = token.end()
                break
        elif first == _COMMA and depth == 1:
            pieces.append(body[start : token.start()].strip())
            start = token.end()
            if len(pieces) >= max_count:
                raise TooManyPieces
    if not end or body[end:].strip():
        raise SplitError("The brackets of the body don't match: it is cut off, not JSON, or far too much of it.")
    return [] if pieces == [b""] else pieces


def split_members(body: bytes, max_count: int) -> dict[bytes, bytes]:
    """The members of `{...}`: key as it stands, quotes included, to value. Raises SplitError or TooManyPieces."""
    if body[:1] != b"{":
        raise SplitError("The body must be a JSON object or array.")
    members = {}
    for piece in split_elements(body, max_count):
        match = _MEMBER.fullmatch(piece)
        if not match:
            raise SplitError("The body is not a JSON object.")
        members[match[1]] = match[2].strip()
    return members
