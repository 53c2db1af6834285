"""Orders and refunds, slow and obvious: one order after the other, as docs/revenue.md words it; decides disputes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

DIGITS = {"JPY": 0, "KWD": 3}


@dataclass(frozen=True)
class OrderEvent:
    """kind: what comes after `order_` in the event's name. trust: `browser`, or that of somebody trusted. at: in days
    of the range, which is [0, 1). seq, stored: decide among events of one time."""

    kind: str
    order_id: str | None = None
    value: str | None = None
    currency: str | None = None
    refund_id: str | None = None
    trust: str = "browser"
    person: int = 1
    at: float = 0
    seq: int = 0
    stored: int = 0

    @property
    def is_trusted(self) -> bool:
        return self.trust != "browser"


class Counted(NamedTuple):
    """Of a currency."""

    order_count: int = 0
    gross: Decimal = Decimal(0)
    refunds: Decimal = Decimal(0)
    customer_count: int = 0
    refund_count: int = 0
    cancelled_count: int = 0


def revenue_oracle(events: Iterable[OrderEvent], own_currency: str) -> dict[str, Counted]:
    """What counts on the day [0, 1), by currency."""
    told = sorted(events, key=lambda event: (event.at, event.seq, event.stored))
    found: dict[str, Counted] = {}
    customers: dict[str, set[int]] = {}
    for group in _by_order(told):
        _count_order(group, own_currency, found, customers)
    return {
        currency: each._replace(customer_count=len(customers.get(currency, ()))) for currency, each in found.items()
    }


def _by_order(told: Sequence[OrderEvent]) -> list[list[OrderEvent]]:
    """The events of each order; one without the id of an order stands alone, but for refunds of the same refund_id."""
    groups: dict[object, list[OrderEvent]] = {}
    for number, event in enumerate(told):
        alone = event.refund_id if event.kind == "refunded" and event.refund_id else number
        groups.setdefault(("order", event.order_id) if event.order_id else (event.kind, alone), []).append(event)
    return list(groups.values())


def _count_order(
    told: Sequence[OrderEvent], own_currency: str, found: dict[str, Counted], customers: dict[str, set[int]]
) -> None:
    reports = _most_trusted_first([event for event in told if event.kind == "completed"])
    is_cancelled = any(event.kind == "cancelled" and event.order_id for event in told)
    currency, worth = _worth(reports, told, own_currency)
    if reports and 0 <= reports[0].at < 1:
        before = found.get(currency, Counted())
        if is_cancelled:
            found[currency] = before._replace(cancelled_count=before.cancelled_count + 1)
        else:
            found[currency] = before._replace(order_count=before.order_count + 1, gross=before.gross + worth)
            customers.setdefault(currency, set()).add(reports[0].person)
    if is_cancelled:
        return
    left = worth
    for refund in _refunds(told):
        in_currency = refund.currency or (currency if reports else own_currency)
        asked = abs(_rounded(refund.value, in_currency)) if refund.value else Decimal(0)
        if reports and in_currency == currency:
            asked = min(asked if refund.value else left, left)
            left -= asked
        if 0 <= refund.at < 1:
            before = found.get(in_currency, Counted())
            found[in_currency] = before._replace(refund_count=before.refund_count + 1, refunds=before.refunds + asked)


def _worth(reports: Sequence[OrderEvent], told: Sequence[OrderEvent], own_currency: str) -> tuple[str, Decimal]:
    """The figure: of the last trusted update, else of the first report that has one."""
    updates = [
        event for event in told if event.kind == "updated" and event.is_trusted and event.value and event.order_id
    ]
    figures = [*updates[-1:], *(event for event in reports if event.value)]
    sayers = [*figures[:1], *reports]
    currency = next((event.currency for event in sayers if event.currency), own_currency)
    return currency, _rounded(figures[0].value or "0", currency) if figures else Decimal(0)


def _refunds(told: Sequence[OrderEvent]) -> list[OrderEvent]:
    """Each once, in their order; without those of browsers where somebody trusted tells of refunds."""
    refunds = [event for event in told if event.kind == "refunded"]
    if told[0].order_id and any(event.is_trusted for event in refunds):
        refunds = [event for event in refunds if event.is_trusted]
    chosen: dict[object, OrderEvent] = {}
    for number, event in enumerate(_most_trusted_first(refunds)):
        chosen.setdefault(event.refund_id or number, event)
    return [event for event in refunds if any(event is each for each in chosen.values())]


def _most_trusted_first(events: Sequence[OrderEvent]) -> list[OrderEvent]:
    return sorted(events, key=lambda event: not event.is_trusted)


def _rounded(value: str, currency: str) -> Decimal:
    return Decimal(value).quantize(Decimal(1).scaleb(-DIGITS.get(currency, 2)), ROUND_HALF_UP)


def as_properties(event: OrderEvent) -> Mapping[str, object]:
    named = {name: getattr(event, name) for name in ("order_id", "value", "currency", "refund_id")}
    return {name: value for name, value in named.items() if value is not None}
