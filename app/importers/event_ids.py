"""Event ids derived from content: the same hit read twice has the same id, so an import can be run again."""

from hashlib import blake2b


class EventIds:
    """Ids for the hits of one file; hits with equal content are told apart by their occurrence in it.

    One per file, so that an id does not depend on what else is imported in the same run, and memory is
    bounded by the largest file.
    """

    def __init__(self) -> None:
        self._occurrences: dict[bytes, int] = {}  # about 100 bytes per row

    def assign(self, content: bytes) -> str:
        """A UUID as text; `content` is whatever identifies the hit."""
        digest = blake2b(content, digest_size=16)
        key = digest.digest()
        occurrence = self._occurrences.get(key, 0)
        self._occurrences[key] = occurrence + 1
        if occurrence:
            digest.update(b"\x00%d" % occurrence)
        return _uuid_text(digest.hexdigest())


def _uuid_text(h: str) -> str:
    """32 hexadecimal digits as a version 8 UUID (RFC 9562: custom content), so nobody finds a time inside."""
    return f"{h[:8]}-{h[8:12]}-8{h[13:16]}-8{h[17:20]}-{h[20:]}"
