"""Storefronts as kept in Postgres."""

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import available_timezones

from sqlalchemy import Row, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.funnel import Condition, Operator
from app.domain.stages import DEFAULT_STAGES, Stage, StageRule
from app.domain.storefront import Storefront
from app.errors import FootfallError, Invalid, NotFound
from app.storage.tables import storefront

NAME_MAX_CHARACTERS = 200


class AlreadyExists(FootfallError):
    """That name is taken"""

    status = 409
    type_slug = "already-exists"


async def create_storefront(engine: AsyncEngine, name: str, time_zone: str, currency: str) -> Storefront:
    """Add a storefront. Raises AlreadyExists, or Invalid for an unknown time zone or currency."""
    name = name.strip()
    if not 0 < len(name) <= NAME_MAX_CHARACTERS or not name.isprintable():
        raise Invalid(f"A storefront's name has 1 to {NAME_MAX_CHARACTERS} printable characters.")
    if time_zone not in available_timezones():
        raise Invalid(f"{time_zone!r} is no time zone; use an IANA name such as Europe/Berlin or UTC.")
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.isupper()):
        raise Invalid(f"{currency!r} is no currency; use an ISO 4217 code such as EUR.")
    statement = storefront.insert().values(name=name, time_zone=time_zone, currency=currency).returning(storefront)
    try:
        async with engine.begin() as connection:
            row = (await connection.execute(statement)).one()
    except IntegrityError as error:
        raise AlreadyExists(
            f"There is a storefront named {name!r} already; `footfall storefront list` shows it."
        ) from error
    return storefront_of(row)


async def save_stages(engine: AsyncEngine, storefront_id: int, stages: Sequence[Mapping[str, Any]] | None) -> None:
    """Replace a storefront's stages, checked JSON as `_stage` reads it; None: back to the default list."""
    statement = storefront.update().where(storefront.c.storefront_id == storefront_id).values(stages=stages)
    async with engine.begin() as connection:
        await connection.execute(statement)


async def list_storefronts(engine: AsyncEngine) -> list[Storefront]:
    async with engine.connect() as connection:
        return [
            storefront_of(row)
            for row in await connection.execute(select(storefront).order_by(storefront.c.storefront_id))
        ]


async def find_storefront(engine: AsyncEngine, id_or_name: str) -> Storefront:
    """By number, or else by name. Raises NotFound."""
    known = await list_storefronts(engine)
    of_number = [found for found in known if str(found.storefront_id) == id_or_name]
    of_name = [found for found in known if found.name == id_or_name]
    found = next(iter(of_number + of_name), None)
    if found is None:
        raise NotFound(f"There is no storefront {id_or_name!r}; `footfall storefront list` shows those there are.")
    return found


def storefront_of(row: Row[Any]) -> Storefront:
    return Storefront(
        storefront_id=row.storefront_id,
        name=row.name,
        time_zone=row.time_zone,
        currency=row.currency,
        session_timeout_seconds=row.session_timeout_seconds,
        stages=DEFAULT_STAGES if row.stages is None else tuple(map(_stage, row.stages)),
        retention_days=row.retention_days,
    )


def _stage(stored: Mapping[str, Any]) -> Stage:
    rules = (
        StageRule(rule["event"], tuple(map(_condition, rule.get("where", ()))), rule.get("after"))
        for rule in stored["rules"]
    )
    return Stage(stored["name"], tuple(rules))


def _condition(stored: Mapping[str, Any]) -> Condition:
    value = stored.get("value")
    return Condition(
        stored.get("property") or stored["dimension"],
        Operator(stored["op"]),
        tuple(value) if isinstance(value, list) else value,
        is_dimension=stored.get("dimension") is not None,
    )
