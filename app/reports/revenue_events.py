"""What order events say: which order, how much, by whom and how trusted; in the order in which they happened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from app.domain.event import Trust
from app.domain.funnel import Alternative, Condition, Operator
from app.domain.money import currency_of, minor_digits, number_of, to_minor
from app.domain.order import ORDER_COMPLETED, ORDER_ID, is_nothing
from app.domain.storefront import Storefront
from app.mirror.columns import NOT_SET
from app.mirror.conditions import holding
from app.mirror.scan import TIME_MAX_US, Coded, Column, Scan, Subject, Wanted
from app.reports.funnel.matching import persons_of
from app.reports.revenue_landing import OF_LANDING, landing_rows

COMPLETED, UPDATED, REFUNDED, CANCELLED = range(4)
EVENT_NAMES = (ORDER_COMPLETED, "order_updated", "order_refunded", "order_cancelled")  # by kind, also bits of masks
ORDER, REFUND_ID, VALUE, CURRENCY = map(Subject, (ORDER_ID, "refund_id", "value", "currency"))
TRUST = Subject("trust", is_dimension=True)
INVALID = -2  # a value that is no number, a currency that is none
PIECE_ROWS = 50_000  # read at once

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Checked:
    """A condition, per event. is_set: whether the event has what the condition is about."""

    holds: Bools
    is_set: Bools


@dataclass(frozen=True)
class OrderEvents:
    """One element per event, in the total order. Codes and places are NOT_SET where there is none.

    order, refund: codes of their ids. value: place in `numbers`, or INVALID. currency: place in `currencies`, or
    INVALID. group: code in `group_texts`. person: see `person_ids`.
    """

    kind: Ints
    at_us: Ints
    order: Ints
    refund: Ints
    value: Ints
    currency: Ints
    is_trusted: Bools
    person: Ints
    group: Ints
    checked: list[Checked]
    order_code_count: int
    currencies: list[str]  # the first is the storefront's
    numbers: list[Decimal]
    group_texts: list[str]

    @property
    def has_amount(self) -> Bools:
        found: Bools = (self.value >= 0) & (self.currency != INVALID)
        return found

    def currency_of(self, events: Ints, otherwise: int | Ints) -> Ints:
        known: Ints = np.where(self.currency[events] >= 0, self.currency[events], otherwise)
        return known

    def minor(self, events: Ints, currency: Ints) -> tuple[Ints, Bools]:
        """The amounts of events in the smallest units of these currencies, and whether they have one that can be; 0
        if not."""
        amounts, has_amount = np.zeros(len(events), np.int64), np.zeros(len(events), np.bool_)
        digits = np.array([minor_digits(each) for each in self.currencies])[currency]
        for each in np.unique(digits).tolist():
            chosen = np.flatnonzero(self.has_amount[events] & (digits == each))
            places, inverse = np.unique(self.value[events[chosen]], return_inverse=True)
            found = [to_minor(self.numbers[place], each) for place in places.tolist()]
            amounts[chosen] = np.array([minor or 0 for minor in found], np.int64)[inverse]
            has_amount[chosen] = np.array([minor is not None for minor in found], np.bool_)[inverse]
        return amounts, has_amount


def read_order_events(
    scan: Scan,
    storefront: Storefront,
    conditions: Sequence[Condition],
    group: Subject | None,
    *,
    include_bots: bool,
    as_of_us: int | None,
) -> OrderEvents:
    """All of them, whenever they happened: what is said of an order can lie years after it.

    Where a condition is on trust, only those whom it wants are asked what became of an order.
    """
    own = [each for each in conditions if _subject(each) not in OF_LANDING]
    of_landing = [each for each in conditions if _subject(each) in OF_LANDING]
    found = scan.matches(_wanted(own), TIME_MAX_US, include_bots=include_bots, as_of_us=as_of_us)
    bits = [_has_bit(found.mask, bit) for bit in range(len(EVENT_NAMES) + 2 * len(own))]
    checked = [Checked(*bits[bit : bit + 2]) for bit in range(len(EVENT_NAMES), len(bits), 2)]
    is_asked = np.ones(len(found.mask), np.bool_)
    for condition, each in zip(own, checked, strict=True):
        if _subject(condition) == TRUST:
            is_asked &= each.holds | bits[COMPLETED]
    person = persons_of(found, scan.links())
    landing = found.row_number
    if of_landing or group in OF_LANDING:
        landing = landing_rows(scan, storefront, found, person, include_bots=include_bots, as_of_us=as_of_us)
    checked += [_checked(each, scan.column(_subject(each)), landing) for each in of_landing]
    by_row = np.argsort(found.row_number)
    total_order = np.lexsort((found.stored, found.seq, found.occurred_at_us))
    total_order = total_order[is_asked[total_order]]
    place = np.empty(len(by_row), np.int64)  # by event its place in by_row
    place[by_row] = np.arange(len(by_row))
    subjects = [ORDER, REFUND_ID, VALUE, CURRENCY, TRUST, *([group] if group and group not in OF_LANDING else [])]
    order, refund, value, currency, trust, *groups = (
        Coded(coded.codes[place[total_order]], coded.texts)
        for coded in _texts(scan, found.row_number[by_row], subjects)
    )
    if group in OF_LANDING:
        groups = [Coded(scan.column(group).codes[landing[total_order]], list(scan.column(group).texts))]
    numbers, values = _numbers(value)
    currencies, places = _currencies(currency, storefront.currency)
    return OrderEvents(
        kind=np.select(bits[: len(EVENT_NAMES)], range(len(EVENT_NAMES)))[total_order],
        at_us=found.occurred_at_us[total_order],
        order=_ids(order),
        refund=_ids(refund),
        value=values,
        currency=places,
        is_trusted=_recoded(trust, [text != Trust.BROWSER for text in trust.texts]).astype(np.bool_),
        person=person[total_order],
        group=groups[0].codes.astype(np.int64) if groups else np.full(len(total_order), NOT_SET, np.int64),
        checked=[Checked(each.holds[total_order], each.is_set[total_order]) for each in checked],
        order_code_count=len(order.texts),
        currencies=currencies,
        numbers=numbers,
        group_texts=groups[0].texts if groups else [],
    )


def _has_bit(mask: npt.NDArray[np.uint64], bit: int) -> Bools:
    found: Bools = (mask >> np.uint64(bit) & np.uint64(1)).astype(np.bool_)
    return found


def _subject(condition: Condition) -> Subject:
    return Subject(condition.property, condition.is_dimension)


def _checked(condition: Condition, column: Column, row_numbers: Ints) -> Checked:
    """Of what the column says of these events."""
    codes = column.codes[row_numbers]
    return Checked(holding(condition, column.texts.array)[codes], codes != NOT_SET)


def _wanted(conditions: Sequence[Condition]) -> list[Wanted]:
    """A bit per kind of event; then two per condition: whether it holds, and whether the event has its subject."""
    wanted = [Wanted((Alternative(name),), -TIME_MAX_US) for name in EVENT_NAMES]
    for condition in conditions:
        is_set = Condition(condition.property, Operator.EXISTS, True, condition.is_dimension)
        wanted += [
            Wanted(tuple(Alternative(name, (each,)) for name in EVENT_NAMES), -TIME_MAX_US)
            for each in (condition, is_set)
        ]
    return wanted


def _texts(scan: Scan, row_numbers: Ints, subjects: Sequence[Subject]) -> Iterator[Coded]:
    """Of each subject in turn. row_numbers: ascending."""
    starts = range(0, len(row_numbers), PIECE_ROWS)
    pieces = [list(scan.texts(row_numbers[start : start + PIECE_ROWS], subjects)) for start in starts]
    for number in range(len(subjects)):
        coded = [piece[number] for piece in pieces]
        texts = list(dict.fromkeys(text for each in coded for text in each.texts))
        code_of = {text: code for code, text in enumerate(texts)}
        codes = [_recoded(each, [code_of[text] for text in each.texts]) for each in coded]
        yield Coded(np.concatenate([np.zeros(0, np.int32), *codes]).astype(np.int32), texts)


def _recoded(coded: Coded, of_code: Sequence[int]) -> Ints:
    """Per event what its text means; NOT_SET for none."""
    meanings: Ints = np.array([*of_code, NOT_SET], np.int64)[coded.codes]
    return meanings


def _ids(coded: Coded) -> Ints:
    return _recoded(coded, [NOT_SET if is_nothing(text) else code for code, text in enumerate(coded.texts)])


def _numbers(coded: Coded) -> tuple[list[Decimal], Ints]:
    numbers = [number_of(text) for text in coded.texts]
    places = _recoded(coded, [INVALID if number is None else place for place, number in enumerate(numbers)])
    return [number or Decimal(0) for number in numbers], places


def _currencies(coded: Coded, own: str) -> tuple[list[str], Ints]:
    """In capitals, whichever way they were sent."""
    names = [currency_of(text) for text in coded.texts]
    places = {name: place for place, name in enumerate(dict.fromkeys([own, *(name for name in names if name)]))}
    meanings = [
        places[name] if name else NOT_SET if is_nothing(text) else INVALID
        for name, text in zip(names, coded.texts, strict=True)
    ]
    return list(places), _recoded(coded, meanings)
