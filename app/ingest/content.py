"""What is found in a body: decoded, and taken through the steps."""

import time
from typing import NamedTuple

from app.domain.event import Trust
from app.domain.outcome import Rejection, RejectReason
from app.errors import Unreadable
from app.ingest.consent import refuses_consent
from app.ingest.formats.base import Decoded, RequestContext, WireFormat
from app.ingest.formats.native import NATIVE
from app.ingest.pipeline import run_pipeline
from app.ingest.steps import STEPS

# Of an unreadable body sent with a write key, which is public: as much as browsers send in a beacon.
BROWSER_UNREADABLE_BYTES = 64 * 1024


class Content(NamedTuple):
    """What was found in a body. size_bytes: after decompression. fault: why nothing could be made of it."""

    decoded: Decoded
    size_bytes: int
    decode_seconds: float
    pipeline_seconds: float = 0.0
    fault: Unreadable | None = None


def content_of(
    body: bytes, wire_format: WireFormat, context: RequestContext, *, is_withheld: bool, redacts: bool
) -> Content:
    """Pure. is_withheld: the sender's browser asks for nothing to be kept."""
    started = time.perf_counter()
    try:
        decoded = wire_format.decode(body, context)
    except Unreadable as error:
        rejections = [_unreadable(body, error.detail, context.trust)] if body else []
        unread = Decoded([], [], lambda: [body], rejections)
        if is_withheld or refuses_consent(body):
            unread.withhold()
        return Content(unread, len(body), time.perf_counter() - started, fault=error)
    if wire_format is not NATIVE:  # which events are by default
        for event in decoded.events:
            event.source = wire_format.name
    decoded_at = time.perf_counter()
    if is_withheld:
        decoded.withhold()
    run_pipeline(
        decoded,
        context.received_at,
        STEPS,
        retention_days=context.retention_days,
        sender=context.sender,
        own_hosts=context.own_hosts,
        cookieless_key=context.cookieless_key,
        redacts=redacts,
    )
    return Content(decoded, len(body), decoded_at - started, time.perf_counter() - decoded_at)


def _unreadable(body: bytes, detail: str, trust: Trust) -> Rejection:
    """To be kept whole, but for what anybody can send."""
    if trust is Trust.BROWSER and len(body) > BROWSER_UNREADABLE_BYTES:
        detail = f"{detail} Of its {len(body)} bytes the first {BROWSER_UNREADABLE_BYTES} are kept."
        body = body[:BROWSER_UNREADABLE_BYTES]
    return Rejection(0, RejectReason.INVALID_JSON, "", detail, body)
