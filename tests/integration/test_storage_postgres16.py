"""The oldest Postgres that is supported works as well, as an external server."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.storage.embedded import EmbeddedPostgres
from tests.events import sent
from tests.integration.serving import footfall_json, serving


@pytest.fixture
def postgres16(tmp_path: Path) -> Iterator[str]:
    with EmbeddedPostgres(tmp_path / "postgres16", major_version=16, settings={"fsync": "off"}) as server:
        yield server.url


def test_events_go_in_and_a_funnel_comes_out(postgres16: str, tmp_path: Path) -> None:
    journey = [
        sent("product_viewed", client_time="2026-03-02T12:00:00Z"),
        sent("product_added", client_time="2026-03-02T12:01:00Z"),
        sent("product_viewed", visitor_id="ben"),
    ]
    funnel = {
        "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z"},
        "steps": [{"any_of": [{"event": "product_viewed"}]}, {"any_of": [{"event": "product_added"}]}],
    }

    with serving(tmp_path / "data", database_url=postgres16) as service:
        shop = footfall_json(service.environment, "storefront", "create", "Shop")["storefront_id"]
        keys = {
            kind: footfall_json(service.environment, "keys", "create", str(shop), "--kind", kind)["key"]
            for kind in ("write", "read")
        }
        with httpx.Client(base_url=service.url, trust_env=False, timeout=60) as client:
            bearer = {kind: {"Authorization": f"Bearer {key}"} for kind, key in keys.items()}
            stored = client.post("/v1/events", json=journey, headers=bearer["write"])
            again = client.post("/v1/events", json=journey, headers=bearer["write"])
            answer = client.post("/v1/reports/funnel", json=funnel, headers=bearer["read"])
        code = service.stop()

    assert stored.json() == {"received": 3, "stored": 3, "duplicates": 0}
    assert again.json() == {"received": 3, "stored": 0, "duplicates": 3}
    assert [step["reached_count"] for step in answer.json()["steps"]] == [2, 1]
    assert code == 0
