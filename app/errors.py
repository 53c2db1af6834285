"""What can be wrong with a whole request. `problems.py` turns each of these into its reply.

The docstring of a class is the title its reply carries; `detail` says how to fix this one case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault in the input: what to change, and where (JSON pointer into the body)."""

    detail: str
    pointer: str


class FootfallError(Exception):
    """The request could not be answered"""

    status: int = 500
    type_slug: str = "internal-error"  # clients compare it: never rename one

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    @property
    def title(self) -> str:
        return (type(self).__doc__ or type(self).__name__).strip()


class RetryLater(FootfallError):
    """The service cannot take this request now"""

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_seconds)})


class Unreadable(FootfallError):
    """The body cannot be read"""

    status = 400
    type_slug = "unreadable"


class Unauthenticated(FootfallError):
    """A valid key is needed"""

    status = 401
    type_slug = "unauthenticated"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="footfall"'})


class Forbidden(FootfallError):
    """This key may not do that"""

    status = 403
    type_slug = "forbidden"


class NotFound(FootfallError):
    """There is nothing here"""

    status = 404
    type_slug = "not-found"


class MethodNotAllowed(FootfallError):
    """This path does not answer to that method"""

    status = 405
    type_slug = "method-not-allowed"


class RequestTimeout(FootfallError):
    """The request took too long to arrive"""

    status = 408
    type_slug = "request-timeout"


class TooLarge(FootfallError):
    """The body is too large"""

    status = 413
    type_slug = "too-large"


class UnsupportedType(FootfallError):
    """The body is of a type that is not understood"""

    status = 415
    type_slug = "unsupported-type"


class Misdirected(FootfallError):
    """Another process of this service answers that"""

    status = 421
    type_slug = "misdirected"


class Invalid(FootfallError):
    """The request has faults"""

    status = 422
    type_slug = "invalid"


class TooMany(RetryLater):
    """Too many requests at once"""

    status = 429
    type_slug = "too-many"


class HeadTooLarge(FootfallError):
    """The headers are too large"""

    status = 431
    type_slug = "head-too-large"


class Unavailable(RetryLater):
    """The service cannot take this request now"""

    status = 503
    type_slug = "unavailable"


class OverTimeLimit(FootfallError):
    """The answer took too long"""

    status = 504
    type_slug = "over-time-limit"


class InsufficientStorage(RetryLater):
    """There is no room to keep this"""

    status = 507
    type_slug = "insufficient-storage"
