"""One running service, a new storefront for each test, and what the service says of it."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from app.domain.storefront import KeyKind
from app.storage.database import DatabaseUrl, create_engine
from app.storage.keys import create_key
from app.storage.storefronts import create_storefront
from tests.clients.client import PATIENCE_SECONDS, Client
from tests.conftest import new_database
from tests.integration.serving import serving

EVER = {"from": "2020-01-01", "to": "2100-01-01"}


@dataclass(frozen=True)
class Running:
    url: str
    database: DatabaseUrl


@pytest.fixture(scope="package")
def running(postgres: DatabaseUrl, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`footfall serve` as a process of its own."""
    with (
        new_database(postgres, template) as database,
        serving(tmp_path_factory.mktemp("clients"), database_url=database.libpq) as service,
    ):
        yield Running(service.url, database)


@dataclass(frozen=True)
class Shop:
    """A storefront. url: of the service. reader: asks for reports."""

    url: str
    write_key: str
    server_key: str
    reader: httpx.Client

    def key_for(self, client: Client) -> str:
        return self.write_key if client.is_browser else self.server_key

    def names(self, person: str) -> Counter[str]:
        """Of all events of a person; none when nobody is known by that name."""
        reply = self.reader.get(f"/v1/persons/{person}/journey")
        if reply.status_code == httpx.codes.NOT_FOUND:
            return Counter()
        return Counter(event["event"] for event in reply.raise_for_status().json()["events"])

    def became_of_events(self) -> Mapping[str, int]:
        """How many had which outcome, `received` among these; without those that none had."""
        totals: dict[str, int] = self.reader.get("/v1/ledger").raise_for_status().json()["totals"]
        return {outcome: count for outcome, count in totals.items() if count}

    def funnel(self, *names: str) -> list[int]:
        """How many persons reached each of these events, in this order."""
        steps = [{"any_of": [{"event": name}]} for name in names]
        question = {"range": {"start": "2020-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}, "steps": steps}
        return _reached(self.reader.post("/v1/reports/funnel", json=question))

    def stage_funnel(self) -> list[int]:
        """The same of the default stages."""
        return _reached(self.reader.get("/v1/reports/stages", params=EVER))

    def revenue(self) -> list[dict[str, Any]]:
        """Per currency."""
        reply = self.reader.get("/v1/reports/revenue", params=EVER)
        found: list[dict[str, Any]] = reply.raise_for_status().json()["currencies"]
        return found


def _reached(reply: httpx.Response) -> list[int]:
    return [step["reached_count"] for step in reply.raise_for_status().json()["steps"]]


@pytest.fixture
def shop(running: Running) -> Iterator[Shop]:
    write, server, read = asyncio.run(_new_keys(running.database))
    may_read = {"Authorization": f"Bearer {read}"}
    # The first report may wait for compiled code.
    with httpx.Client(base_url=running.url, headers=may_read, timeout=PATIENCE_SECONDS, trust_env=False) as reader:
        yield Shop(running.url, write, server, reader)


async def _new_keys(database: DatabaseUrl) -> Sequence[str]:
    """Of a new storefront: to write, for its server, to read."""
    engine = create_engine(database)
    try:
        storefront_id = (await create_storefront(engine, uuid.uuid4().hex, "UTC", "EUR")).storefront_id
        kinds = (KeyKind.WRITE, KeyKind.SERVER, KeyKind.READ)
        return [(await create_key(engine, storefront_id, kind)).secret for kind in kinds]
    finally:
        await engine.dispose()
