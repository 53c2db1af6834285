"""Cuts a JSON array or object into its members without decoding them, so that one faulty event spoils no other.

Works on brackets and strings only: what a piece holds is for the decoder to judge. Linear in the size of the body.
"""

import re

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)
_MEMBER = re.compile(rb'\s*("[^"\\]*(?:\\.[^"\\]*)*")\s*:(.*)', re.DOTALL)
_OPEN, _CLOSE, _COMMA = b"[{", b"]}", b","


class SplitError(ValueError):
    """The brackets don't match: the body is cut off, or no JSON."""


def split_elements(body: bytes) -> list[bytes]:
    """The elements of `[...]` or the members of `{...}`, as they stand. Raises SplitError."""
    pieces: list[bytes] = []
    depth = 0
    start = end = 0
    for token in _TOKEN.finditer(body):
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
    if not end or body[end:].strip():
        raise SplitError("The brackets of the body don't match: it is cut off, or not JSON.")
    return [] if pieces == [b""] else pieces


def split_members(body: bytes) -> dict[bytes, bytes]:
    """The members of `{...}`: key as it stands, quotes included, to value. Raises SplitError."""
    if body[:1] != b"{":
        raise SplitError("The body must be a JSON object or array.")
    members = {}
    for piece in split_elements(body):
        match = _MEMBER.fullmatch(piece)
        if not match:
            raise SplitError("The body is not a JSON object.")
        members[match[1]] = match[2].strip()
    return members
