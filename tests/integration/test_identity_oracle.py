"""Who everybody is, from storing events to reports and to the rights of a person, as the oracle says."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.match.actors import person_ids
from app.mirror.follow import Mirror
from app.mirror.scan import open_scan
from app.storage.database import DatabaseUrl, create_ingest_pool
from app.storage.events import PostgresSink
from app.storage.identities import unlink
from app.storage.persons import PersonKind, events_of, find_person, with_times, work_connection
from tests.conftest import run_sql
from tests.events import NOW, stored_event
from tests.integration.mirror_rows import mirror_at
from tests.oracle import Naming, Undoing, persons_oracle

VISITORS, CUSTOMERS = ("phone", "tablet"), ("ana", "ben", "zoë")
TABLES = ("event", "visitor", "customer", "visitor_link", "visitor_unlink")
HOUR = timedelta(hours=1)

hours = st.integers(0, 5)
namings = st.builds(Naming, st.sampled_from(VISITORS), st.sampled_from((None, *CUSTOMERS)), hours)
undoings = st.builds(Undoing, st.sampled_from(VISITORS), st.sampled_from(CUSTOMERS), hours)
# Looks of the mirror: what is stored before each, and what is undone.
looks = st.lists(st.tuples(st.lists(namings, max_size=4), st.lists(undoings, max_size=1)), min_size=1, max_size=4)


async def store(database: DatabaseUrl, events: list[Naming], first: int) -> None:
    """Named by their place, so that they are known again."""
    stored = [
        stored_event(str(place), visitor=each.visitor, customer=each.customer, occurred_at=NOW + each.at * HOUR)
        for place, each in enumerate(events, start=first)
    ]
    async with create_ingest_pool(database, connections=1, timeout_seconds=10) as pool:
        await PostgresSink(pool).store(stored, [])


async def undo(database: DatabaseUrl, undone: list[Undoing]) -> list[Undoing]:
    """Those that could be: who were never seen together can't be unlinked."""
    async with work_connection(database) as connection:
        return [
            each for each in undone if await unlink(connection, 1, each.customer, each.visitor, NOW + each.at * HOUR)
        ]


def in_reports(mirror: Mirror, keys: dict[int, str]) -> list[str]:
    """The person behind each event, in the order of their places."""
    mirror.catch_up()
    with open_scan(mirror, 1) as scan:
        [found] = scan.every_event(2**62) if mirror.progress and mirror.progress.event_count else [None]
        if found is None:
            return []
        links = scan.links()
        persons = person_ids(
            found.visitor_id,
            found.customer_id,
            found.occurred_at_us,
            links.visitor_id,
            links.customer_id,
            links.linked_at_us,
        )
        places = [int(event.event_name) for event in scan.events(found.row_number)]
    return [keys[person] for _, person in sorted(zip(places, persons.tolist(), strict=True))]


async def keys_of_persons(connection: asyncpg.Connection) -> dict[int, str]:
    query = """
        SELECT visitor_id AS id, 'visitor ' || visitor_key AS key FROM visitor
        UNION ALL SELECT -customer_id, customer_key FROM customer
    """
    return {record["id"]: record["key"] for record in await connection.fetch(query)}


async def in_postgres(connection: asyncpg.Connection) -> Counter[tuple[int, str]]:
    """Place of each event, and the customer whose it is by the rights of persons."""
    found: Counter[tuple[int, str]] = Counter()
    for customer in CUSTOMERS:
        person = await find_person(connection, 1, customer, PersonKind.CUSTOMER)
        if person is not None:
            whole = await with_times(connection, person)
            found.update([(int(event["event_name"]), customer) async for event in events_of(connection, whole)])
    return found


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(looks)
def test_reports_and_the_rights_of_persons_agree_with_the_oracle(
    database: DatabaseUrl, tmp_path: Path, looks: list[tuple[list[Naming], list[Undoing]]]
) -> None:
    run_sql(database, f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY")
    (tmp_path / "mirror.duckdb").unlink(missing_ok=True)

    async def look_up() -> tuple[dict[int, str], Counter[tuple[int, str]]]:
        async with work_connection(database) as connection:
            return await keys_of_persons(connection), await in_postgres(connection)

    with mirror_at(tmp_path / "mirror.duckdb", database) as mirror:
        events: list[Naming] = []
        undone: list[Undoing] = []
        for new, wrong in looks:
            asyncio.run(store(database, new, len(events)))
            events += new
            undone += asyncio.run(undo(database, wrong))
            expected = persons_oracle(events, undone)
            keys, by_rights = asyncio.run(look_up())
            assert in_reports(mirror, keys) == expected
            of_customers = ((place, person) for place, person in enumerate(expected) if person in CUSTOMERS)
            assert by_rights == Counter(of_customers)
