"""Asks the funnel report about journeys, without HTTP: a request's members in, the answer out."""

from collections.abc import Callable, Sequence
from typing import Any

from app.domain.stages import DEFAULT_STAGES
from app.domain.storefront import Storefront
from app.domain.time_range import from_us
from app.reports.funnel import FUNNEL
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.result import FunnelResult
from tests.journeys import DAY, JourneyEvent, at_us
from tests.unit.reports.journey_mirror import Identity, JourneyMirror, Link

LONG_AFTER = 1000 * DAY
YEAR = {"start": "2025-03-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"}
VIEWED, ADDED, ORDERED = "product_viewed", "product_added", "order_completed"


def shop(time_zone: str = "UTC", currency: str = "EUR") -> Storefront:
    return Storefront(1, "Shop", time_zone, currency, 1800, DEFAULT_STAGES)


def step(name: str, **options: Any) -> dict[str, Any]:
    return {"any_of": [{"event": name}], **options}


def ask(
    mirror: JourneyMirror,
    events: Sequence[JourneyEvent],
    *steps: str | dict[str, Any],
    at: float = LONG_AFTER,
    storefront: Storefront | None = None,
    identity: Callable[[JourneyEvent], Identity] | None = None,
    links: Sequence[Link] = (),
    **members: Any,
) -> FunnelResult:
    """at: second of the look, as in `journey`. members: of the request; the range is a year unless given."""
    body = {"range": YEAR, "steps": [each if isinstance(each, dict) else step(each) for each in steps], **members}
    with mirror.scan(events, at_us(at), identity=identity, links=links) as scan:
        return FUNNEL.run(FunnelParams.model_validate(body), scan, storefront or shop())


def range_of(start: float, end: float) -> dict[str, str]:
    """Seconds as in `journey`."""
    return {"start": from_us(at_us(start)).isoformat(), "end": from_us(at_us(end)).isoformat()}
