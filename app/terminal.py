"""Senders' text on a terminal."""

from rich.markup import escape

SHOWN_MAX = 80  # characters


def shown(text: str, limit: int = SHOWN_MAX) -> str:
    """A text by somebody else: bounded, and neither markup nor control characters take effect."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return escape(plain)
