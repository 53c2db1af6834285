"""Saved funnels: a name and the definition as it was sent; some of them published, as metrics."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, delete, func, not_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.storefront import Storefront
from app.errors import FootfallError
from app.storage.storefronts import storefront_of
from app.storage.tables import saved_funnel, storefront

# "publish": held while the published funnels are counted and one is added.
PUBLISH_LOCK = 0x7075626C69736800


class TooManyPublished(FootfallError):
    """Too many funnels are published"""

    status = 409
    type_slug = "too-many-published"


class SavedFunnel(NamedTuple):
    """published_period: None = not published."""

    name: str
    definition: dict[str, Any]
    updated_at: datetime
    published_period: str | None


class PublishedFunnel(NamedTuple):
    storefront: Storefront
    name: str
    definition: dict[str, Any]
    period: str


_COLUMNS = tuple(saved_funnel.c[name] for name in SavedFunnel._fields)


async def save_funnel(engine: AsyncEngine, storefront_id: int, name: str, definition: Mapping[str, Any]) -> bool:
    """Keep a definition under a name, in place of one that was there. True when the name is new."""
    values = {"definition": definition, "updated_at": func.now()}
    known = select(saved_funnel.c.name).where(_named(storefront_id, name))
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
    statement = select(*_COLUMNS).where(_named(storefront_id, name))
    async with engine.connect() as connection:
        row = (await connection.execute(statement)).first()
    return SavedFunnel(*row) if row else None


async def list_funnels(engine: AsyncEngine, storefront_id: int) -> list[SavedFunnel]:
    statement = select(*_COLUMNS).where(saved_funnel.c.storefront_id == storefront_id).order_by(saved_funnel.c.name)
    async with engine.connect() as connection:
        return [SavedFunnel(*row) for row in await connection.execute(statement)]


async def delete_funnel(engine: AsyncEngine, storefront_id: int, name: str) -> bool:
    """True when there was one."""
    statement = delete(saved_funnel).where(_named(storefront_id, name))
    async with engine.begin() as connection:
        return bool((await connection.execute(statement)).rowcount)


async def publish_funnel(
    engine: AsyncEngine, storefront_id: int, name: str, period: str, *, published_max: int
) -> None:
    """published_max: of all storefronts together. Raises TooManyPublished. A funnel that is not there stays so."""
    this = _named(storefront_id, name)
    others = select(func.count()).where(saved_funnel.c.published_period.is_not(None), not_(this))
    async with engine.begin() as connection:
        await connection.execute(select(func.pg_advisory_xact_lock(PUBLISH_LOCK)))
        if (await connection.execute(others)).scalar_one() >= published_max:
            raise TooManyPublished(
                f"This service publishes {published_max} funnels at most, of all storefronts together; end the "
                "publishing of another one, or raise FOOTFALL_PUBLISHED_FUNNELS_MAX."
            )
        await connection.execute(update(saved_funnel).where(this).values(published_period=period))


async def unpublish_funnel(engine: AsyncEngine, storefront_id: int, name: str) -> bool:
    """True when there is a funnel of that name, published or not."""
    statement = update(saved_funnel).where(_named(storefront_id, name)).values(published_period=None)
    async with engine.begin() as connection:
        return bool((await connection.execute(statement)).rowcount)


async def list_published(engine: AsyncEngine, published_max: int) -> list[PublishedFunnel]:
    """Of all storefronts, the oldest storefront's first, by name; the setting may be lower than when they began."""
    statement = (
        select(storefront, *(column.label(f"funnel_{column.name}") for column in _COLUMNS))
        .join_from(saved_funnel, storefront)
        .where(saved_funnel.c.published_period.is_not(None))
        .order_by(saved_funnel.c.storefront_id, saved_funnel.c.name)
        .limit(published_max)
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return [
        PublishedFunnel(storefront_of(row), row.funnel_name, row.funnel_definition, row.funnel_published_period)
        for row in rows
    ]


def _named(storefront_id: int, name: str) -> ColumnElement[bool]:
    return (saved_funnel.c.storefront_id == storefront_id) & (saved_funnel.c.name == name)
