"""Saved funnels: a name and the definition as it was sent."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage.tables import saved_funnel


class SavedFunnel(NamedTuple):
    name: str
    definition: dict[str, Any]
    updated_at: datetime


_COLUMNS = (saved_funnel.c.name, saved_funnel.c.definition, saved_funnel.c.updated_at)


async def save_funnel(engine: AsyncEngine, storefront_id: int, name: str, definition: Mapping[str, Any]) -> bool:
    """Keep a definition under a name, in place of one that was there. True when the name is new."""
    values = {"definition": definition, "updated_at": func.now()}
    known = select(saved_funnel.c.name).where(
        saved_funnel.c.storefront_id == storefront_id, saved_funnel.c.name == name
    )
    upsert = (
        insert(saved_funnel)
        .values(storefront_id=storefront_id, name=name, **values)
        .on_conflict_do_update(index_elements=["storefront_id", "name"], set_=values)
    )
    async with engine.begin() as connection:
        is_new = (await connection.execute(known)).first() is None
        await connection.execute(upsert)
    return is_new


async def load_funnel(engine: AsyncEngine, storefront_id: int, name: str) -> SavedFunnel | None:
    statement = select(*_COLUMNS).where(saved_funnel.c.storefront_id == storefront_id, saved_funnel.c.name == name)
    async with engine.connect() as connection:
        row = (await connection.execute(statement)).first()
    return SavedFunnel(*row) if row else None


async def list_funnels(engine: AsyncEngine, storefront_id: int) -> list[SavedFunnel]:
    statement = select(*_COLUMNS).where(saved_funnel.c.storefront_id == storefront_id).order_by(saved_funnel.c.name)
    async with engine.connect() as connection:
        return [SavedFunnel(*row) for row in await connection.execute(statement)]


async def delete_funnel(engine: AsyncEngine, storefront_id: int, name: str) -> bool:
    """True when there was one."""
    statement = delete(saved_funnel).where(saved_funnel.c.storefront_id == storefront_id, saved_funnel.c.name == name)
    async with engine.begin() as connection:
        return bool((await connection.execute(statement)).rowcount)
