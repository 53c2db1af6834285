"""From our ids back to the senders' texts, for the few that a page of an answer shows."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from sqlalchemy import BigInteger, any_, bindparam, literal, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage.tables import account, customer, visitor


@asynccontextmanager
async def driver_connection(engine: AsyncEngine) -> AsyncIterator[asyncpg.Connection]:
    """One of the engine's connections, for what speaks to the driver itself (see persons.py)."""
    async with engine.connect() as connection:
        yield (await connection.get_raw_connection()).driver_connection


@dataclass(frozen=True, slots=True)
class SenderKeys:
    """By our ids; of those that were erased there is no text."""

    visitors: dict[int, str]
    customers: dict[int, str]
    accounts: dict[int, str]


async def sender_keys(
    engine: AsyncEngine,
    storefront_id: int,
    *,
    visitors: Iterable[int] = (),
    customers: Iterable[int] = (),
    accounts: Iterable[int] = (),
) -> SenderKeys:
    """What one storefront calls them, in one query."""
    wanted = {"visitor": (visitor, visitors), "customer": (customer, customers), "account": (account, accounts)}
    parts = [
        select(literal(name).label("kind"), table.c[f"{name}_id"], table.c[f"{name}_key"]).where(
            table.c.storefront_id == storefront_id,
            table.c[f"{name}_id"] == any_(bindparam(f"{name}_ids", sorted(set(ids)), type_=ARRAY(BigInteger))),
        )
        for name, (table, ids) in wanted.items()
    ]
    found: dict[str, dict[int, str]] = {name: {} for name in wanted}
    async with engine.connect() as connection:
        for kind, number, text in await connection.execute(union_all(*parts)):
            found[kind][number] = text
    return SenderKeys(found["visitor"], found["customer"], found["account"])
