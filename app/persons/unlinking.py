"""The route that undoes who a visitor was taken for."""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Path
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import Match

from app.access import storefront_of_key
from app.clock import Clock
from app.domain.storefront import KeyDirectory, KeyKind, Storefront
from app.errors import NotFound
from app.persons.connections import Connections
from app.storage.identities import unlink

SenderId = Annotated[str, Path(max_length=200, pattern=r"^[^\x00]+$")]


class Unlinked(BaseModel):
    """Until when events that name both do not link the two; later ones do again."""

    customer_id: str
    visitor_id: str
    unlinked_at: datetime


class LinkRoute(APIRoute):
    """`/v1/persons/{customer_id}/links/{visitor_id}`, told apart from a person of such an id by the slashes as sent."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        match, child = super().matches(scope)
        ids = scope.get("raw_path", b"").partition(b"/persons/")[2].split(b"/")
        if match is Match.NONE or len(ids) != 3 or ids[1] != b"links":
            return Match.NONE, {}
        customer_id, _, visitor_id = (unquote(part.decode("latin-1")) for part in ids)
        return match, {**child, "path_params": {"customer_id": customer_id, "visitor_id": visitor_id}}


def unlinking_router(connections: Connections, keys: KeyDirectory, clock: Clock) -> APIRouter:
    router = APIRouter()
    admin = storefront_of_key(keys, KeyKind.ADMIN, task="undoing a link")

    async def unlink_visitor(
        customer_id: SenderId, visitor_id: SenderId, storefront: Annotated[Storefront, Depends(admin)]
    ) -> Unlinked:
        at = clock.now()
        async with connections.brief() as connection:
            if not await unlink(connection, storefront.storefront_id, customer_id, visitor_id, at):
                raise NotFound("No event names these two; ids are compared character by character.")
        return Unlinked(customer_id=customer_id, visitor_id=visitor_id, unlinked_at=at)

    router.add_api_route(
        "/persons/{customer_id:path}/links/{visitor_id:path}",
        unlink_visitor,
        methods=["DELETE"],
        summary="Undo that a visitor is a customer (admin key)",
        route_class_override=LinkRoute,
    )

    return router
