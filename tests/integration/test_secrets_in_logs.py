"""Whatever is logged, at whatever level: no key, no signature, nothing of what was sent."""

import json
import time
from pathlib import Path

import httpx

from app.domain.storefront import KeyKind
from app.storage.database import DatabaseUrl, create_engine
from app.storage.keys import create_key
from app.storage.storefronts import create_storefront
from tests.events import sent
from tests.integration.serving import serving
from tests.signed import signature_headers


async def test_no_secret_is_in_the_log_of_a_service_that_logs_everything(database: DatabaseUrl, tmp_path: Path) -> None:
    engine = create_engine(database)
    shop = await create_storefront(engine, "Shop", "UTC", "EUR")
    write, server, read = [
        await create_key(engine, shop.storefront_id, kind) for kind in (KeyKind.WRITE, KeyKind.SERVER, KeyKind.READ)
    ]
    await engine.dispose()
    body = json.dumps(sent(visitor_id="visitor-who-is-nobodys-business", client_time=None)).encode()
    signed = signature_headers(server.key_id, server.secret, body, int(time.time()))
    forged = signature_headers(server.key_id, "ff_server_forged", body, int(time.time()))

    with serving(tmp_path, database_url=database.libpq, log_level="debug") as service:
        async with httpx.AsyncClient(base_url=service.url, trust_env=False) as client:
            replies = [
                await client.post("/v1/events", content=body, headers=bearer(write.secret)),
                await client.post("/v1/events", content=body, headers=bearer(server.secret)),
                await client.post("/v1/events", content=body, headers=bearer("ff_write_guess")),
                await client.post("/v1/events", content=body, headers=bearer(read.secret)),
                await client.post("/v1/events", content=body, params={"key": write.secret}),
                await client.post("/v1/events", content=body, params={"key": server.secret}),
                await client.post("/v1/events", content=body, headers=signed),
                await client.post("/v1/events", content=body, headers=forged),
                await client.get("/v1/stages", headers=bearer(read.secret)),
                await client.get("/v1/stages", headers=bearer("ff_read_guess")),
            ]
        code = service.stop()
        log = service.log.read_text()

    assert [reply.status_code for reply in replies] == [200, 200, 401, 403, 200, 403, 200, 401, 200, 401]
    assert code == 0
    assert log.count('"action": "request"') >= len(replies)
    for secret in (write.secret, server.secret, read.secret, "ff_write_guess", "ff_read_guess"):
        assert secret not in log
    for told in (signed["Footfall-Signature"], forged["Footfall-Signature"], "nobodys-business"):
        assert told not in log


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}
