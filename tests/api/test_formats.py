"""What holds at the endpoint of every wire format: what it takes in is on its own account, and adds up."""

import pytest

from app.ingest.formats import FORMATS
from app.ingest.formats.base import WireFormat
from app.ingest.formats.ga4 import GA4_VALIDATION
from app.ingest.formats.shopify import SHOPIFY
from app.ingest.formats.woocommerce import WOOCOMMERCE
from tests.fakes import FixedClock
from tests.golden_cases import golden_cases
from tests.service import Service

# Webhooks are signed, and the validation keeps nothing.
SENT_WITH_A_KEY = [each for each in FORMATS if each not in (SHOPIFY, WOOCOMMERCE, GA4_VALIDATION)]


@pytest.mark.parametrize("wire_format", SENT_WITH_A_KEY, ids=lambda each: each.name)
async def test_the_ledger_of_a_format_adds_up(service: Service, wire_format: WireFormat, clock: FixedClock) -> None:
    for case in golden_cases(wire_format):
        reply = await service.client.request(
            "GET" if not case.body and "GET" in wire_format.methods else "POST",
            case.context.path,
            content=case.body,
            params=case.context.query,
            headers={"Authorization": f"Bearer {service.write_key}", "Content-Type": case.context.content_type},
        )
        assert reply.status_code < 300 or wire_format.name == "native", (case.name, reply.text)

    clock.advance(60)
    rows = (await service.client.get("/v1/ledger", headers=service.reader)).json()["rows"]
    assert {row["source"] for row in rows} == {wire_format.name}
    assert {row["imbalance"] for row in rows} == {0}
