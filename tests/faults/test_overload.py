"""Ten times as many clients as keep the service busy: it serves as many as before and sends the others away early."""

from statistics import median

import pytest

from bench.overload import CONNECTIONS, GOODPUT_MARK, TIMES, measure
from bench.service import running_service

ROUNDS = 3  # the machine does other things as well: what counts is the middle one
SECONDS = 5.0
BODY_EVENTS = 50
MEMORY_MAX_BYTES = 250 * 1024**2  # more than under the usual load: the buffer may hold 64 MiB of JSON


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_ten_times_what_it_can_take() -> None:
    connections = CONNECTIONS[BODY_EVENTS]
    with running_service() as service:
        measure(service, BODY_EVENTS, connections, SECONDS)
        rounds = [
            [measure(service, BODY_EVENTS, connections * times, SECONDS) for times in (1, TIMES)] for _ in range(ROUNDS)
        ]
    for usual, flooded in rounds:
        assert usual.load.status_counts.keys() == {200}
        assert flooded.load.status_counts.keys() == {200, 429}
        assert flooded.load.broken_count == 0
        assert flooded.memory_bytes < usual.memory_bytes + MEMORY_MAX_BYTES
    ratios = [flooded.stored_per_second / usual.stored_per_second for usual, flooded in rounds]
    assert median(ratios) >= GOODPUT_MARK, ratios
