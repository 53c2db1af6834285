"""What the events of the steps are worth, and what was lost with those who left."""

import re
from dataclasses import dataclass
from math import isfinite

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from app.domain.storefront import Storefront
from app.match.rules import Int64s
from app.mirror.columns import Subject
from app.mirror.scan import Scan
from app.reports.funnel.matching import Attempts

CURRENCY_PROPERTY = "currency"
DECIMALS = 6  # of a sum: more than any currency has, fewer than a float needs to show its rounding

_is_currency = re.compile("[A-Za-z]{3}").fullmatch  # as ISO 4217 writes them, in either case


class StepValue(BaseModel):
    """sum: over the events of the step. lost_sum, in_progress_sum: of those who did not reach the next one; null on
    the last step. Any is null when it is larger than a double."""

    currency: str
    sum: float | None
    lost_sum: float | None
    in_progress_sum: float | None


@dataclass(frozen=True)
class Values:
    """What every event of the storefront is worth, by row_number: an amount (NaN: none) of a currency (-1: of none)."""

    currencies: list[str]
    _amount_codes: npt.NDArray[np.int32]
    _amounts: npt.NDArray[np.float64]  # by code; last that of events without the property
    _currency_codes: npt.NDArray[np.int32]
    _currency_places: npt.NDArray[np.int64]  # likewise

    def of(self, row_numbers: Int64s) -> tuple[npt.NDArray[np.float64], Int64s]:
        """Amounts, and the places of their currencies."""
        return (
            self._amounts[self._amount_codes[row_numbers]],
            self._currency_places[self._currency_codes[row_numbers]],
        )


def values_of(property_name: str, scan: Scan, storefront: Storefront) -> Values:
    """Without a currency an event is worth its amount in the storefront's; what can't be one
    (three letters) is none."""
    amount, currency = scan.column(Subject(property_name)), scan.column(Subject(CURRENCY_PROPERTY))
    names = [text.upper() if _is_currency(text) else None for text in [*currency.texts, storefront.currency]]
    currencies = sorted({name for name in names if name})
    places = {name: place for place, name in enumerate(currencies)}
    return Values(
        currencies,
        amount.codes,
        np.append(amount.numbers(), np.nan),
        currency.codes,
        np.array([-1 if name is None else places[name] for name in names], np.int64),
    )


def step_values(attempts: Attempts, step_index: int, positions: Int64s, values: Values) -> tuple[list[StepValue], int]:
    """A sum for each currency there is, by its name; and how many events of the step had no number or no currency.

    positions: of the step's events, as Attempts.positions gives them.
    """
    has_event = positions >= 0
    row_numbers = attempts.events.row_number[attempts.rows(positions[has_event])]
    amounts, places = values.of(row_numbers)
    known = ~np.isnan(amounts) & (places >= 0)
    amounts, places = amounts[known], places[known]
    stopped = (attempts.depth == step_index + 1)[has_event][known]
    is_open = attempts.is_open[has_event][known]

    def sums(chosen: npt.NDArray[np.bool_]) -> list[float | None]:
        found = np.bincount(places[chosen], weights=amounts[chosen], minlength=len(values.currencies))
        return [round(each, DECIMALS) if isfinite(each) else None for each in found.tolist()]

    nothing: list[float | None] = [None] * len(values.currencies)
    is_last = step_index == len(attempts.definition.steps) - 1
    columns = (
        np.bincount(places, minlength=len(values.currencies)).tolist(),
        sums(np.ones(len(places), np.bool_)),
        nothing if is_last else sums(stopped & ~is_open),
        nothing if is_last else sums(stopped & is_open),
    )
    found = [
        StepValue(currency=currency, sum=total, lost_sum=lost, in_progress_sum=in_progress)
        for currency, count, total, lost, in_progress in zip(values.currencies, *columns, strict=True)
        if count
    ]
    return found, int((~known).sum())
