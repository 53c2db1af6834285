"""A mirror of its own for each test."""

from collections.abc import Iterator

import pytest

from tests.unit.mirror.rows import FilledMirror

CACHE_BYTES = 1024**2


@pytest.fixture
def filled() -> Iterator[FilledMirror]:
    filled = FilledMirror(CACHE_BYTES)
    yield filled
    filled.mirror.close()
