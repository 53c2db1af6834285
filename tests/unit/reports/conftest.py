"""The mirror in memory that the matcher's tests share."""

from collections.abc import Iterator

import pytest

from tests.unit.reports.journey_mirror import JourneyMirror


@pytest.fixture(scope="module")
def mirror() -> Iterator[JourneyMirror]:
    """One for all tests of a module; calls do not see each other's events."""
    opened = JourneyMirror()
    yield opened
    opened.close()
