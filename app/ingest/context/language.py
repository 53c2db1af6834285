"""Which language somebody reads."""

import re

_is_language = re.compile(r"[A-Za-z]{2,3}").fullmatch


def language_of(said: str) -> str | None:
    """The most wanted language of an Accept-Language header (RFC 9110), or of one tag: `de` of `de-AT`.

    Without the region: it says little about where somebody is, and the country is known apart.
    """
    wanted: list[tuple[float, str]] = []
    for part in said.split(","):
        tag, _, weight = part.partition(";")
        language = re.split("[-_]", tag.strip(), maxsplit=1)[0]
        if _is_language(language):
            wanted.append((_weight(weight), language.lower()))
    # Of equal ones the first.
    return max(wanted, key=lambda each: each[0])[1] if wanted else None


def _weight(text: str) -> float:
    try:
        return float(text.replace(" ", "").removeprefix("q=") or 1)
    except ValueError:
        return 0.0
