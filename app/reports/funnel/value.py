"""What the events of the steps are worth, and what was lost with those who left."""

import re
from dataclasses import dataclass
from math import isfinite, prod

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from app.domain.storefront import Storefront
from app.match.rules import Int32s, Int64s
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


def step_values(
    attempts: Attempts, step_index: int, group: Int32s, group_count: int, values: Values
) -> list[tuple[list[StepValue], int]]:
    """By group a sum for each currency there is, by its name; and how many events of the step had no number or no
    currency. group: by attempt, from 0."""
    chosen = attempts.reached(step_index)
    positions = attempts.positions_of(chosen, step_index)
    chosen, positions = chosen[positions >= 0], positions[positions >= 0]
    amounts, places = values.of(attempts.events.row_number[attempts.rows(positions)])
    known = ~np.isnan(amounts) & (places >= 0)
    without = np.bincount(group[chosen[~known]], minlength=group_count).tolist()
    chosen, amounts, places = chosen[known], amounts[known], places[known]
    stopped, is_open = attempts.depth[chosen] == step_index + 1, attempts.is_open[chosen]
    shape = group_count, len(values.currencies)
    cell = group[chosen].astype(np.int64) * shape[1] + places

    def sums(some: npt.NDArray[np.bool_] | slice) -> list[list[float | None]]:
        found = np.bincount(cell[some], weights=amounts[some], minlength=prod(shape)).reshape(shape).tolist()
        return [[round(each, DECIMALS) if isfinite(each) else None for each in row] for row in found]

    def lost(some: npt.NDArray[np.bool_]) -> list[list[float | None]]:
        is_last = step_index == len(attempts.definition.steps) - 1
        return [[None] * shape[1]] * group_count if is_last else sums(some)

    counts = np.bincount(cell, minlength=prod(shape)).reshape(shape).tolist()
    columns = counts, sums(slice(None)), lost(stopped & ~is_open), lost(stopped & is_open)
    found = [
        [
            StepValue(currency=currency, sum=total, lost_sum=lost_sum, in_progress_sum=in_progress_sum)
            for currency, count, total, lost_sum, in_progress_sum in zip(values.currencies, *of_group, strict=True)
            if count
        ]
        for of_group in zip(*columns, strict=True)
    ]
    return list(zip(found, without, strict=True))
