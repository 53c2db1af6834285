"""The replay: refused events go through decoding, steps and sink again, with the times and the trust they came with."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.event import Event, canonical_event_id
from app.domain.ledger import REPLAY_SOURCE, Received
from app.domain.outcome import Outcome, RefusedEvent, RejectReason, UnstorableError
from app.domain.storefront import Storefront
from app.errors import FootfallError
from app.ingest.formats import FORMATS
from app.ingest.formats.base import Decoded, RequestContext
from app.ingest.pipeline import run_pipeline
from app.ingest.steps import STEPS
from app.replay.fix import Fix, Unfixable
from app.storage.quarantine import QuarantinedEvent, Selection, mark_replayed, read_instance_id, read_waiting
from app.storage.storefronts import find_storefront

EVENTS_MAX = 100_000  # in one body that could not be read; whatever the limit was when it came

# `ingest.sink.EventSink.store`
Store = Callable[[Sequence[Event], Sequence[RefusedEvent], Sequence[Received]], Awaitable[list[Outcome]]]

_FORMATS = {wire_format.name: wire_format for wire_format in FORMATS}
_UNSTORABLE_DETAIL = "The database can't hold this event."


@dataclass(slots=True, frozen=True)
class Refusal:
    """Why an event stays in quarantine. detail: what to change."""

    reason: str
    pointer: str
    detail: str


@dataclass(slots=True)
class Replayed:
    """What became of the refused events looked at; in a trial, what would. Each is one of: accepted, refused.

    stored, duplicates: of the accepted ones, in events; a body that could not be read may hold many. Zero in a trial.
    """

    looked_at: int = 0
    accepted: int = 0
    stored: int = 0
    duplicates: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)


async def replay(
    engine: AsyncEngine,
    store: Store | None,
    selection: Selection,
    fix: Fix,
    on_progress: Callable[[int], None] = lambda _count: None,
) -> Replayed:
    """Replay what has not been replayed. store: a sink's, None for a trial that changes nothing.

    Each event is stored once, though it is run twice, at once or after being killed: events are stored first and
    marked then, and one stored but not marked is a duplicate the next time. For that an event without an id gets one
    that follows from its row. Raises SinkUnavailable; what was stored until then is marked.
    """
    instance_id = await read_instance_id(engine)
    storefront = await find_storefront(engine, str(selection.storefront_id))
    done = Replayed()
    last_id = 0
    while rows := await read_waiting(engine, selection, last_id):
        last_id = rows[-1].quarantine_id
        accepted: dict[int, list[Event]] = {}
        for row in rows:
            try:
                accepted[row.quarantine_id] = _events_of(row, fix, storefront, instance_id)
            except _Refused as refused:
                done.refused[refused.refusal] += 1
        done.looked_at += len(rows)
        done.accepted += len(accepted)
        if store is not None and accepted:
            await _store_all(engine, store, accepted, done)
        on_progress(len(rows))
    return done


async def _store_all(engine: AsyncEngine, store: Store, accepted: dict[int, list[Event]], done: Replayed) -> None:
    """All in one commit; or, when one of them can't be stored at all, each in its own."""
    try:
        await _commit(engine, store, accepted, done)
    except UnstorableError:
        for quarantine_id, events in accepted.items():
            try:
                await _commit(engine, store, {quarantine_id: events}, done)
            except UnstorableError:
                done.accepted -= 1
                done.refused[Refusal(RejectReason.UNSTORABLE, "", _UNSTORABLE_DETAIL)] += 1


async def _commit(engine: AsyncEngine, store: Store, accepted: dict[int, list[Event]], done: Replayed) -> None:
    events = [event for of_row in accepted.values() for event in of_row]
    counts = Counter((event.storefront_id, event.received_at) for event in events)
    received = [Received(shop, REPLAY_SOURCE, received_at, count) for (shop, received_at), count in counts.items()]
    outcomes = await store(events, [], received)
    await mark_replayed(engine, list(accepted))
    duplicates = outcomes.count(Outcome.DUPLICATE)
    done.stored += len(outcomes) - duplicates
    done.duplicates += duplicates


class _Refused(Exception):
    def __init__(self, reason: str, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.refusal = Refusal(reason, pointer, detail)


def _events_of(row: QuarantinedEvent, fix: Fix, storefront: Storefront, instance_id: str) -> list[Event]:
    """The events of a row, all of them good. Raises _Refused."""
    if row.reason == RejectReason.UNSTORABLE:
        raise _Refused(row.reason, "", f"{_UNSTORABLE_DETAIL} It is kept as it was to be stored; send it anew.")
    try:
        raw = fix.apply(row.raw) if fix else row.raw
    except Unfixable as error:
        raise _Refused(RejectReason.INVALID_JSON, "", str(error)) from error
    decoded, again = _decode(row, raw), _decode(row, raw)
    run_pipeline(decoded, row.received_at, STEPS, retention_days=storefront.retention_days)
    if decoded.rejections:
        first = decoded.rejections[0]
        raise _Refused(first.reason, first.pointer, first.detail)
    if not decoded.events:  # an empty array, which is a body without events, but was no event
        raise _Refused(row.reason, row.pointer, row.detail)
    for index, (event, twin) in enumerate(zip(decoded.events, again.events, strict=True)):
        if event.event_id != twin.event_id:  # made up while decoding: the sender gave none
            event.event_id = canonical_event_id(f"{instance_id}/quarantine/{row.quarantine_id}/{index}")
        event.source, event.is_bot = REPLAY_SOURCE, row.is_bot
    return decoded.events


def _decode(row: QuarantinedEvent, raw: bytes) -> Decoded:
    """Raises _Refused when there is no telling where events begin and end."""
    wire_format = _FORMATS.get(row.format)
    if wire_format is None:
        raise _Refused(RejectReason.INVALID_JSON, "", "Its wire format is not known any more.")
    context = RequestContext(row.storefront_id, row.trust, row.received_at, "application/json", EVENTS_MAX)
    try:
        decoded = wire_format.decode(raw, context)
    except FootfallError as error:
        raise _Refused(RejectReason.INVALID_JSON, "", error.detail) from error
    if decoded.sent_at is None:
        decoded.sent_at = row.sent_at
    return decoded
