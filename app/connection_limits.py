"""What clients may ask of a connection, and what those are told who ask for more."""

from dataclasses import dataclass
from enum import StrEnum

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.errors import FootfallError, HeadTooLarge, RequestTimeout, Unavailable, Unreadable
from app.metrics import Metrics
from app.problems import problem_response

HEAD_MAX_BYTES = 64 * 1024  # of request line and headers; proxies allow 8 to 32 KiB. Checked after each read
HEADERS_MAX = 100
# Requests on one connection that wait for the reply before theirs. uvicorn would read on and on, and keep them all.
PIPELINE_MAX = 64
# An answered client may still be sending: cut off at once, it might lose the answer.
LINGER_SECONDS = 2.0
# Connections above the limit that are told so at the same time; those above this are closed without a word.
REFUSED_MAX = 1_000


class CutReason(StrEnum):
    """Why a connection was ended from our side: a metric's label."""

    SLOW_HEAD = "slow_head"
    SLOW_BODY = "slow_body"
    SLOW_READER = "slow_reader"
    HEAD_TOO_LARGE = "head_too_large"
    PIPELINE = "pipeline"
    TOO_MANY = "too_many"


@dataclass
class ConnectionLimits:
    """Shared by all connections of a server. stopping: replies then end their connections."""

    head_seconds: float
    body_seconds: float  # also for reading a reply
    idle_seconds: float  # between two requests
    connections_max: int
    metrics: Metrics
    stopping: bool = False

    def __post_init__(self) -> None:
        for reason in CutReason:  # so that zeros exist before the first
            self.metrics.connections_cut.labels(reason)

    def count_cut(self, reason: CutReason) -> None:
        self.metrics.connections_cut.labels(reason).inc()


def _reply(error: FootfallError) -> bytes:
    """A whole reply that ends the connection, for clients whose request no application gets to see."""
    response = problem_response(error, "none")
    headers = [*response.raw_headers, (b"connection", b"close")]
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    return b"".join((STATUS_LINE[error.status], lines, b"\r\n", bytes(response.body)))


LATE_HEAD = _reply(RequestTimeout("The headers did not arrive in time; send again."))
LATE_BODY = _reply(RequestTimeout("The body did not arrive in time; send again."))
TOO_LARGE = _reply(HeadTooLarge(f"Send at most {HEADERS_MAX} headers and {HEAD_MAX_BYTES} bytes of them."))
INVALID = _reply(Unreadable("This is no valid HTTP request."))
TOO_MANY = [
    _reply(Unavailable("There are too many connections; send again later.", retry_after_seconds=seconds))
    for seconds in range(1, 6)
]
