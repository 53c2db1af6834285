"""Columns of made-up storefront events, millions at a time, for benchmarks."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DEFAULT_END = datetime(2025, 7, 1, tzinfo=UTC)
SPAN = timedelta(days=30)

DEVICE_NAMES = ("mobile", "desktop", "tablet")
DEVICE_SHARES = (0.58, 0.36, 0.06)

EVENT_NAMES = (
    "page_viewed",
    "product_list_viewed",
    "product_searched",
    "product_viewed",
    "product_added_to_wishlist",
    "product_added",
    "cart_viewed",
    "checkout_started",
    "shipping_info_added",
    "payment_info_added",
    "order_completed",
)
# Chances in percent of what comes next in a session (columns) after an event (rows), in the order above
NEXT_EVENT_PERCENT = (
    (71, 12, 3, 12.5, 0, 0, 1.5, 0, 0, 0, 0),
    (50, 11, 4, 35, 0, 0, 0, 0, 0, 0, 0),
    (45, 15, 18, 22, 0, 0, 0, 0, 0, 0, 0),
    (46, 12, 2, 12, 2, 26, 0, 0, 0, 0, 0),
    (60, 20, 0, 20, 0, 0, 0, 0, 0, 0, 0),
    (27, 8, 0, 7, 0, 4, 54, 0, 0, 0, 0),
    (36, 4, 0, 3, 0, 0, 2, 55, 0, 0, 0),
    (15, 0, 0, 0, 0, 0, 4, 2, 79, 0, 0),
    (10, 0, 0, 0, 0, 0, 3, 3, 2, 82, 0),
    (8, 0, 0, 0, 0, 0, 1, 1, 1, 2, 87),
    (100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
)
SESSION_EVENTS_MEAN = 5  # geometric: most sessions are short and a few are long
PAUSE_SECONDS_MEAN = 25
RETURN_SKEW = 1.5  # of further sessions: visitor = visitors * u^skew, so a few come very often


class Columns(NamedTuple):
    """One entry per event, sorted by time."""

    visitor_index: NDArray[np.int32]  # from 0
    occurred_at_us: NDArray[np.int64]  # microseconds since the epoch
    event_code: NDArray[np.int8]  # position in event_names
    device_code: NDArray[np.int8]  # position in device_names; the same for all events of a visitor
    event_names: tuple[str, ...] = EVENT_NAMES
    device_names: tuple[str, ...] = DEVICE_NAMES


def generate_columns(event_count: int, visitor_count: int, seed: int, *, end: datetime = DEFAULT_END) -> Columns:
    """Sessions of visitors of unequal zeal in the 30 days before end; the same arguments, the same events."""
    rng = np.random.default_rng(seed)
    lengths = _session_lengths(rng, event_count)
    session_visitor = _session_visitors(rng, len(lengths), visitor_count)
    visitor_device = rng.choice(len(DEVICE_NAMES), visitor_count, p=DEVICE_SHARES).astype(np.int8)

    occurred_at_us = _event_times(rng, lengths, end)
    order = np.argsort(occurred_at_us, kind="stable")
    visitor_index = np.repeat(session_visitor, lengths)[order]
    return Columns(
        visitor_index=visitor_index,
        occurred_at_us=occurred_at_us[order],
        event_code=_event_codes(rng, lengths)[order],
        device_code=visitor_device[visitor_index],
    )


def _session_lengths(rng: np.random.Generator, event_count: int) -> NDArray[np.int64]:
    """Events per session, adding up to event_count exactly."""
    # Twice as many sessions as are needed on average; the surplus is cut off.
    lengths = rng.geometric(1 / SESSION_EVENTS_MEAN, event_count // SESSION_EVENTS_MEAN * 2 + 1)
    ends = np.minimum(np.cumsum(lengths), event_count)
    ends[-1] = event_count
    lengths = np.diff(ends, prepend=0)
    return lengths[lengths > 0].astype(np.int64)


def _session_visitors(rng: np.random.Generator, session_count: int, visitor_count: int) -> NDArray[np.int32]:
    """One session for every visitor, as far as there are enough, and the others for those who return."""
    once = np.arange(min(visitor_count, session_count), dtype=np.int32)
    returning = visitor_count * rng.random(session_count - len(once)) ** RETURN_SKEW
    return np.concatenate((once, returning.astype(np.int32)))


def _event_times(rng: np.random.Generator, lengths: NDArray[np.int64], end: datetime) -> NDArray[np.int64]:
    """Random starts, then random pauses inside each session."""
    end_us, span_us = int(end.timestamp()) * 1_000_000, int(SPAN.total_seconds()) * 1_000_000
    starts_us = rng.integers(end_us - span_us, end_us, len(lengths))
    elapsed_us = np.cumsum((rng.standard_exponential(lengths.sum()) * PAUSE_SECONDS_MEAN * 1e6).astype(np.int64))
    first = np.cumsum(lengths) - lengths
    times_us: NDArray[np.int64] = np.repeat(starts_us - elapsed_us[first], lengths) + elapsed_us
    # A session that would run past the end goes on at the beginning of the span.
    return np.where(times_us < end_us, times_us, times_us - span_us)


def _event_codes(rng: np.random.Generator, lengths: NDArray[np.int64]) -> NDArray[np.int8]:
    """Every session begins with a page; each further event depends on the one before it."""
    thresholds = np.cumsum(np.array(NEXT_EVENT_PERCENT), axis=1)[:, :-1].astype(np.float32) / 100
    codes = np.zeros(lengths.sum(), dtype=np.int8)
    going_on = np.cumsum(lengths) - lengths  # place of the latest event of each session that has a next one
    last = going_on + lengths - 1
    while len(going_on):
        unfinished = going_on < last
        going_on, last = going_on[unfinished], last[unfinished]
        chances = rng.random(len(going_on), dtype=np.float32)
        codes[going_on + 1] = (chances[:, None] >= thresholds[codes[going_on]]).sum(axis=1)
        going_on = going_on + 1
    return codes
