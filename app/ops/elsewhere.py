"""Paths that another role of the service answers: requests that come here took a wrong turn at the proxy."""

from collections.abc import Iterable

from fastapi import APIRouter

from app.config import Role
from app.errors import Misdirected

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def elsewhere_router(paths: Iterable[str], *, here: Role, there: Role) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    detail = f"This process has the role {here}; a process with the role {there} answers this path. See to the proxy."

    async def elsewhere() -> None:
        raise Misdirected(detail)

    for path in paths:
        router.add_api_route(path, elsewhere, methods=METHODS)
    return router
