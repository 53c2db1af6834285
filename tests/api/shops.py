"""More storefronts beside the one that every running service has."""

from app.domain.storefront import KeyKind
from app.storage.keys import create_key
from app.storage.storefronts import create_storefront
from tests.service import Service


async def another_shop(service: Service, name: str = "Other shop") -> str:
    """A new storefront's write key. Make it before the first request: keys are read again once a second."""
    shop = await create_storefront(service.engine, name, "UTC", "EUR")
    return (await create_key(service.engine, shop.storefront_id, KeyKind.WRITE)).secret
