"""What was sent without the visitor's consent is not kept: not as an event, and not in quarantine either."""

import re
from collections.abc import Mapping

# In bytes that can't be decoded. Wherever it stands: better to keep one faulty event too few.
_says_no = re.compile(rb'"consent"\s*:\s*false').search


def refuses_consent(raw: bytes) -> bool:
    """Of a faulty event, or a body that can't be read."""
    return _says_no(raw) is not None


def asks_not_to_be_tracked(headers: Mapping[bytes, bytes]) -> bool:
    """The visitor's browser says so, by Global Privacy Control."""
    return headers.get(b"sec-gpc") == b"1"
