"""What the properties and dimensions of one event of each attempt are, and how many converted with each value."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.match.rules import Int64s
from app.mirror.columns import Subject, numbers_of
from app.mirror.dimensions import DIMENSIONS
from app.mirror.scan import Coded, Scan
from app.reports.funnel.traits import Counted, Skip, SkipReason, Trait, TraitKind, TraitOf, ValueKind

PROPERTIES_MAX = 50  # those most often seen in a sample of SAMPLE_ROWS events
SAMPLE_ROWS = 2_000
VALUES_MAX = 10_000  # of a property; with more it is skipped: an id, most likely
VALUES_TESTED_MAX = 100  # the most frequent ones
NUMBERS_AS_VALUES_MAX = 20  # more numbers than that are taken in four ranges, with about as many events each
NUMERIC_SHARE = 0.9  # of what is set, and a property counts as numeric
PIECE_ROWS = 50_000

# The steps name the event themselves; of URLs the paths and hosts are asked.
LEFT_OUT_DIMENSIONS = ("event", "url", "referrer")

Bools = npt.NDArray[np.bool_]
Found = tuple[list[Counted], list[Skip]]


class Tally:
    """Events, and converted ones among them, by text; beside them those where it is not set."""

    def __init__(self) -> None:
        self.counts: dict[str, tuple[int, int]] = {}
        self.not_set = (0, 0)

    def add(self, coded: Coded, is_converted: Bools) -> None:
        places, room = coded.codes + 1, len(coded.texts) + 1  # 0: not set
        counts = np.bincount(places, minlength=room).tolist()
        converted = np.bincount(places[is_converted], minlength=room).tolist()
        self.not_set = (self.not_set[0] + counts[0], self.not_set[1] + converted[0])
        for text, count, converted_count in zip(coded.texts, counts[1:], converted[1:], strict=True):
            before = self.counts.get(text, (0, 0))
            self.counts[text] = (before[0] + count, before[1] + converted_count)

    @property
    def has_too_many(self) -> bool:
        return len(self.counts) > VALUES_MAX


def count_values(row_numbers: Int64s, of: TraitOf, is_converted: Bools, scan: Scan, *, min_support_count: int) -> Found:
    """row_numbers: of one event of each attempt, all different. Only what min_support_count have and as many lack."""
    order = np.argsort(row_numbers)
    row_numbers, is_converted = row_numbers[order], is_converted[order]
    names, beyond = _property_names(row_numbers, scan)
    dimensions = [each.name for each in DIMENSIONS if each.name not in LEFT_OUT_DIMENSIONS]
    subjects = [Subject(name) for name in names] + [Subject(name, is_dimension=True) for name in dimensions]
    tallies = {subject: Tally() for subject in subjects}
    for start in range(0, len(row_numbers), PIECE_ROWS):
        piece = slice(start, start + PIECE_ROWS)
        left = [subject for subject, tally in tallies.items() if not tally.has_too_many]
        for subject, coded in zip(left, scan.texts(row_numbers[piece], left), strict=True):
            tallies[subject].add(coded, is_converted[piece])
    counted: list[Counted] = []
    skipped = [Skip(TraitKind.PROPERTY, name, of, SkipReason.TOO_MANY_PROPERTIES) for name in beyond]
    most = len(row_numbers) - min_support_count
    for subject, tally in tallies.items():
        kind = TraitKind.DIMENSION if subject.is_dimension else TraitKind.PROPERTY
        if tally.has_too_many:
            skipped.append(Skip(kind, subject.name, of, SkipReason.TOO_MANY_VALUES))
            continue
        found = [
            each for each in _traits(tally, Trait(kind, subject.name, of)) if min_support_count <= each.count <= most
        ]
        counted += found
        if not found:
            skipped.append(Skip(kind, subject.name, of, SkipReason.NO_COMPARISON))
    return counted, skipped


def _property_names(row_numbers: Int64s, scan: Scan) -> tuple[list[str], list[str]]:
    """The most frequent ones of a sample, and those beyond them."""
    count = min(len(row_numbers), SAMPLE_ROWS)
    sample = row_numbers[np.arange(count) * len(row_numbers) // max(count, 1)]
    seen = Counter(
        name for event in scan.events(sample) for name, value in event.properties.items() if value is not None
    )
    names = sorted(seen, key=lambda name: (-seen[name], name))
    return names[:PROPERTIES_MAX], names[PROPERTIES_MAX:]


def _traits(tally: Tally, trait: Trait) -> Iterator[Counted]:
    yield Counted(trait._replace(value_kind=ValueKind.NOT_SET), *tally.not_set)
    texts = sorted(tally.counts, key=lambda text: (-tally.counts[text][0], text))
    if len(texts) > NUMBERS_AS_VALUES_MAX:
        numbers = numbers_of(pa.array(texts, pa.large_string()))
        counts = np.array([tally.counts[text] for text in texts])
        is_number = ~np.isnan(numbers)
        if counts[is_number, 0].sum() >= NUMERIC_SHARE * counts[:, 0].sum():
            yield from _ranges(numbers[is_number], counts[is_number], trait._replace(value_kind=ValueKind.RANGE))
            return
    for text in texts[:VALUES_TESTED_MAX]:
        yield Counted(trait._replace(value_kind=ValueKind.VALUE, value=text), *tally.counts[text])


def _ranges(numbers: npt.NDArray[np.float64], counts: Int64s, trait: Trait) -> Iterator[Counted]:
    """The quarters of the events by their number. counts: per number those of all events and of converted ones."""
    order = np.argsort(numbers)
    numbers, counts = numbers[order], counts[order]
    until = np.cumsum(counts[:, 0])
    edges = np.unique(numbers[np.searchsorted(until, until[-1] * np.array([1, 2, 3]) / 4)]).tolist()
    for above, up_to in zip([None, *edges], [*edges, None], strict=True):
        inside = (numbers > (-np.inf if above is None else above)) & (numbers <= (np.inf if up_to is None else up_to))
        count, converted_count = counts[inside].sum(axis=0).tolist()
        yield Counted(trait._replace(above=above, up_to=up_to), count, converted_count)
