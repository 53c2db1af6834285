"""Saved funnels: definitions kept under a name."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncEngine

from app.access import StorefrontOfKey
from app.domain.storefront import Storefront
from app.domain.time_range import from_us
from app.errors import NotFound
from app.reports.conditions import Params
from app.reports.funnel.params import FunnelParams, RangeParams
from app.reports.published import PublishPeriod
from app.reports.ranges import Moment, bounds_us
from app.storage.funnels import (
    SavedFunnel,
    delete_funnel,
    list_funnels,
    load_funnel,
    publish_funnel,
    save_funnel,
    unpublish_funnel,
)

FunnelName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$", description="letters, digits, _ . -")]


class OtherRange(BaseModel):
    """Both or none; half-open, days where the storefront is, or instants."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.from_ is None) != (self.to is None):
            raise ValueError("give both `from` and `to`, or neither")
        return self

    def instead_of(self, params: FunnelParams, storefront: Storefront) -> FunnelParams:
        """The same funnel over this range; its own when none is given."""
        if self.from_ is None or self.to is None:
            return params
        start_us, end_us = bounds_us(self.from_, self.to, storefront)
        return params.model_copy(update={"range": RangeParams(start=from_us(start_us), end=from_us(end_us))})


class Publishing(Params):
    """Show the funnel's last complete period as metrics."""

    period: PublishPeriod = PublishPeriod.DAY


class SavedFunnelAnswer(BaseModel):
    """definition: as it was sent, without what was left out. updated_at: of the definition. publish: null when the
    funnel is not shown as metrics."""

    name: str
    definition: FunnelParams
    updated_at: datetime
    publish: Publishing | None


def saved_funnels_router(engine: AsyncEngine, reader: StorefrontOfKey, published_max: int) -> APIRouter:
    router = APIRouter(prefix="/v1/funnels", tags=["set-up"])

    @router.put(
        "/{name}",
        summary="Save a funnel",
        responses={201: {"description": "The name is new"}},
        response_model_exclude_unset=True,
    )
    async def put_funnel(
        name: FunnelName,
        params: FunnelParams,
        storefront: Annotated[Storefront, Depends(reader)],
        response: Response,
    ) -> SavedFunnelAnswer:
        params.definition(storefront)  # a stage that does not exist is refused now, not when it is asked for
        definition = params.model_dump(mode="json", exclude_unset=True)
        is_new = await save_funnel(engine, storefront.storefront_id, name, definition)
        response.status_code = 201 if is_new else 200
        return _shown(await find_saved(engine, storefront, name))

    @router.get("/{name}", summary="A saved funnel's definition", response_model_exclude_unset=True)
    async def get_funnel(name: FunnelName, storefront: Annotated[Storefront, Depends(reader)]) -> SavedFunnelAnswer:
        return _shown(await find_saved(engine, storefront, name))

    @router.get("", summary="All saved funnels", response_model_exclude_unset=True)
    async def get_funnels(storefront: Annotated[Storefront, Depends(reader)]) -> list[SavedFunnelAnswer]:
        return [_shown(found) for found in await list_funnels(engine, storefront.storefront_id)]

    @router.delete("/{name}", summary="Delete a saved funnel", status_code=204)
    async def remove_funnel(name: FunnelName, storefront: Annotated[Storefront, Depends(reader)]) -> None:
        if not await delete_funnel(engine, storefront.storefront_id, name):
            raise _not_found(name)

    @router.put(
        "/{name}/publish",
        summary="Show a saved funnel as metrics",
        responses={409: {"description": "As many as may be are published"}},
        response_model_exclude_unset=True,
    )
    async def publish(
        name: FunnelName, publishing: Publishing, storefront: Annotated[Storefront, Depends(reader)]
    ) -> SavedFunnelAnswer:
        found = await find_saved(engine, storefront, name)
        FunnelParams.model_validate(found.definition).definition(storefront)  # its stages may have gone since
        await publish_funnel(engine, storefront.storefront_id, name, publishing.period, published_max=published_max)
        return _shown(await find_saved(engine, storefront, name))

    @router.delete("/{name}/publish", summary="Show a saved funnel no longer", status_code=204)
    async def unpublish(name: FunnelName, storefront: Annotated[Storefront, Depends(reader)]) -> None:
        if not await unpublish_funnel(engine, storefront.storefront_id, name):
            raise _not_found(name)

    return router


async def find_saved(engine: AsyncEngine, storefront: Storefront, name: str) -> SavedFunnel:
    """Raises NotFound."""
    found = await load_funnel(engine, storefront.storefront_id, name)
    if found is None:
        raise _not_found(name)
    return found


def _not_found(name: str) -> NotFound:
    return NotFound(f"There is no funnel named {name}; GET /v1/funnels lists those there are.")


def _shown(found: SavedFunnel) -> SavedFunnelAnswer:
    period = found.published_period
    return SavedFunnelAnswer(
        name=found.name,
        definition=FunnelParams.model_validate(found.definition),
        updated_at=found.updated_at,
        publish=None if period is None else Publishing(period=PublishPeriod(period)),
    )
