"""Ids for events of clients that send none: the same hit sent again has the same one."""

from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(order="deterministic").encode


def content_ids(family: str, contents: Iterable[Any]) -> list[str | None]:
    """An id for each hit of a request.

    contents: per hit what identifies it, as JSON values; None where nothing tells it from another honest one, which
    gets no id then. Equal ones of a request are told apart by how many of them came before.
    """
    seen = Counter[str]()
    ids: list[str | None] = []
    for content in contents:
        if content is None:
            ids.append(None)
            continue
        digest = blake2b(_encode(content), digest_size=16).hexdigest()
        ids.append(f"{family}:{digest}:{seen[digest]}")
        seen[digest] += 1
    return ids
