"""x"""
from tests.service import Service

async def test_ok(service: Service) -> None:
    reply = await service.send({"event": "page_viewed", "visitor_id": "a"})
    assert reply.status_code == 200, reply.text
    assert await service.event_count() == 1
    r = await service.funnel({"range": {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}, "steps": [{"any_of": [{"event": "page_viewed"}]}]})
    assert r.json()["steps"][0]["reached_count"] == 1, r.text

async def test_ok2(service: Service) -> None:
    assert await service.event_count() == 0
async def test_ok3(service: Service) -> None:
    assert await service.event_count() == 0
async def test_ok4(service: Service) -> None:
    assert await service.event_count() == 0
