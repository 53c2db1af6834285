"""Who may ask: the storefront that a request's key belongs to."""

from collections.abc import Awaitable, Callable

from fastapi import Request

from app.bearer import bearer_token
from app.domain.storefront import KeyDirectory, KeyKind, Storefront
from app.errors import Forbidden, Unauthenticated

StorefrontOfKey = Callable[[Request], Awaitable[Storefront]]


def storefront_of_key(keys: KeyDirectory, *kinds: KeyKind, task: str) -> StorefrontOfKey:
    """A FastAPI dependency; keys of these kinds may do the task. Raises 401, 403 or 503 as FootfallError."""

    async def find(request: Request) -> Storefront:
        secret = bearer_token(request.headers.get("authorization"))
        if secret is None:
            raise Unauthenticated(
                f"Send a key of kind {kinds[0]} as `Authorization: Bearer KEY`; `footfall keys create` makes one."
            )
        key = await keys.find(secret)
        if key is None:
            raise Unauthenticated(
                f"This key is not known; `footfall keys create STOREFRONT --kind {kinds[0]}` makes one."
            )
        if key.kind not in kinds:
            raise Forbidden(f"This is a {key.kind} key; {task} takes a key of kind {kinds[0]}.")
        return key.storefront

    return find
