"""A week of made-up storefront journeys for the demo, each event labelled `"synthetic": true`."""

from collections.abc import Iterator
from datetime import datetime
from random import Random
from zoneinfo import ZoneInfo

from app.demo.catalogue import CHANNELS, DEVICES, Channel
from app.demo.shopper import CHECKOUT_STEPS, DAY_MS, HOUR_MS, MINUTE_MS, Shopper, rfc3339

TIME_ZONE = ZoneInfo("Europe/Berlin")
WEEK_MS = 7 * DAY_MS
# Visitors per hour of the day, in the shop's time zone, relative to the busiest hour (evening)
HOURLY = (15, 8, 5, 4, 4, 8, 18, 32, 45, 55, 62, 66, 68, 62, 60, 62, 66, 72, 82, 94, 100, 92, 65, 35)

# Chances of going one stage further, for a visitor of average interest
CONSIDERS, DECIDES, BUYS = 0.61, 0.37, 0.19
# How many of CHECKOUT_STEPS those go who put something in the cart and do not buy
STEPS_BEFORE_GIVING_UP = (30, 32, 20, 10, 8)


def synthetic_week(*, end: datetime, seed: int = 1, visitor_count: int = 3000) -> Iterator[dict[str, object]]:
    """Native events, ready for JSON, sorted by client_time, in [end - 7 days, end).

    The same arguments give the same events, ids included, so feeding them twice stores them once.
    """
    end_ms = int(end.timestamp() * 1000)
    rng = Random(seed)
    events = [event for _ in range(visitor_count) for event in _visitor_week(Random(rng.getrandbits(64)), end_ms)]
    end_text = rfc3339(end_ms)
    events.sort(key=lambda event: (event["client_time"], event["event_id"]))
    return (event for event in events if str(event["client_time"]) < end_text)


def _visitor_week(rng: Random, end_ms: int) -> list[dict[str, object]]:
    """What one visitor does from the first arrival on; may run past the end of the week."""
    channel = rng.choices(CHANNELS, [channel.weight for channel in CHANNELS])[0]
    device_type = rng.choices(list(DEVICES), [share for share, _ in DEVICES.values()])[0]
    shopper = Shopper(rng, f"demo-{rng.getrandbits(64):016x}", device_type, 0)
    shopper.now_ms = _awake_time(rng, end_ms - WEEK_MS, end_ms)
    _live(shopper, channel, channel.interest * DEVICES[device_type][1])
    return shopper.events


def _live(shopper: Shopper, channel: Channel, interest: float) -> None:
    rng = shopper.rng
    _arrive(shopper, channel)
    if rng.random() > CONSIDERS * interest**0.5:
        return
    _consider(shopper)
    if rng.random() < 0.45:  # sleeps on it, once or twice
        for _ in range(rng.choice((1, 1, 2))):
            _come_back(shopper)
            _consider(shopper)
    if rng.random() > DECIDES * interest:
        return
    _fill_cart(shopper)
    if rng.random() > BUYS * interest:
        shopper.check_out(rng.choices(range(len(CHECKOUT_STEPS) + 1), STEPS_BEFORE_GIVING_UP)[0])
        return
    if rng.random() < 0.3:  # leaves the cart and finishes on another day
        shopper.check_out(1)
        _come_back(shopper)
    _buy(shopper)
    _live_on(shopper)


def _arrive(shopper: Shopper, channel: Channel) -> None:
    shopper.arrive(channel)
    for _ in range(shopper.rng.choice((0, 0, 0, 1, 1, 2, 3))):
        shopper.read_page()


def _consider(shopper: Shopper) -> None:
    for _ in range(shopper.rng.choice((1, 1, 2, 2, 3, 4, 6))):
        shopper.look_around()


def _fill_cart(shopper: Shopper) -> None:
    for _ in range(shopper.rng.choice((1, 1, 1, 2, 3))):
        shopper.add_to_cart(shopper.look_around())


def _buy(shopper: Shopper) -> None:
    shopper.check_out(len(CHECKOUT_STEPS))
    shopper.order()


def _live_on(shopper: Shopper) -> None:
    """What follows a purchase: loyalty, a second order, surveys, recommendations, now and then a refund."""
    rng = shopper.rng
    if rng.random() < 0.25:
        shopper.join_loyalty()
    if rng.random() < 0.4:
        shopper.now_ms += int(rng.uniform(5 * MINUTE_MS, 8 * HOUR_MS))
        shopper.answer_survey()
    if rng.random() < 0.22:
        _come_back(shopper)
        _fill_cart(shopper)
        _buy(shopper)
    if rng.random() < 0.35:
        _come_back(shopper)
        shopper.recommend()
    if rng.random() < 0.05:
        _come_back(shopper)
        shopper.refund()


def _come_back(shopper: Shopper) -> None:
    """A new session, hours or days later: mostly typed in or from the newsletter."""
    after_ms = shopper.now_ms + HOUR_MS + int(shopper.rng.expovariate(1 / (1.2 * DAY_MS)))
    shopper.now_ms = _awake_time(shopper.rng, after_ms, after_ms + DAY_MS)
    channel = shopper.rng.choices(CHANNELS, [channel.interest**3 for channel in CHANNELS])[0]
    _arrive(shopper, channel)


def _awake_time(rng: Random, start_ms: int, end_ms: int) -> int:
    """A moment in [start, end), busy hours more likely than quiet ones."""
    while True:
        time_ms = rng.randrange(start_ms, end_ms)
        hour = datetime.fromtimestamp(time_ms / 1000, TIME_ZONE).hour
        if rng.random() * 100 < HOURLY[hour]:
            return time_ms
