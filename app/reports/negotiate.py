"""Which form of an answer a client wants, by its Accept header (RFC 9110, section 12.5.1)."""

import re
from collections.abc import Iterator, Sequence

from app.errors import FootfallError
from app.reports.exports import FORMS, Form

QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


class NotAcceptable(FootfallError):
    """There is no form of this that the client accepts"""

    status = 406
    type_slug = "not-acceptable"


def best_form(accept: str, forms: Sequence[Form] = FORMS) -> Form:
    """The form with the highest quality, of equals the first. Raises NotAcceptable.

    accept: empty when the client did not say.
    """
    if not accept.strip():
        return forms[0]
    ranges = list(_ranges(accept))
    best = max(forms, key=lambda form: _quality(form.media_type, ranges))
    if not _quality(best.media_type, ranges):
        offered = ", ".join(form.media_type for form in forms)
        raise NotAcceptable(f"Accept one of {offered}.")
    return best


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    """Media ranges such as `text/*` with their qualities. Faulty ones are left out, parameters other than q ignored."""
    for part in accept.split(","):
        media_range, *parameters = (each.strip().lower() for each in part.split(";"))
        named = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        quality = named.get("q", "1")
        if QUALITY.fullmatch(quality):
            yield media_range, float(quality)


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """That of the range which says most about the type; 0: not accepted."""
    for media_range in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        qualities = [quality for each, quality in ranges if each == media_range]
        if qualities:
            return max(qualities)
    return 0.0
