"""Saved funnels that are shown as metrics: flagged, bounded in number, worked out beside everything else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from app.config import Settings
from app.domain.storefront import KeyKind
from app.storage.database import DatabaseUrl
from app.storage.keys import create_key
from app.storage.storefronts import create_storefront
from tests.api.test_reports import ADDED, ORDERED, VIEWED, assert_problem, event, funnel, pointers
from tests.fakes import FixedClock
from tests.service import Service, running_service

Samples = dict[tuple[str, ...], float]  # by the name without prefix, and labels in this order:
LABELS = ("storefront", "funnel", "step", "currency")
BODY = funnel(VIEWED, ADDED, ORDERED, conversion_window_seconds=3600, value="price")
# Now is 12:00 on the 2nd of March, so with a window of an hour the last complete day is the 1st.
DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def shop(settings: Settings, database: DatabaseUrl, clock: FixedClock) -> AsyncIterator[Service]:
    """A service that looks for published funnels all the time, and takes two of them."""
    eager = settings.model_copy(update={"publish_interval_seconds": 0.05, "published_funnels_max": 2})
    async with running_service(eager, database, clock=clock) as service:
        yield service


async def put(service: Service, path: str, body: object, key: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {key or service.read_key}"}
    return await service.client.put(f"/v1/funnels/{path}", json=body, headers=headers)


async def get(service: Service, path: str = "") -> Any:
    return await service.client.get(f"/v1/funnels{path}", headers=service.reader)


async def delete(service: Service, path: str) -> Any:
    return await service.client.delete(f"/v1/funnels/{path}", headers=service.reader)


async def publish(service: Service, name: str = "buyers", period: str = "day") -> Any:
    """Save a funnel and publish it."""
    assert (await put(service, name, BODY)).status_code == 201
    return await put(service, f"{name}/publish", {"period": period})


async def shown(service: Service) -> Samples:
    """What /metrics says of funnels."""
    page = (await service.client.get("/metrics")).text
    return {
        (
            sample.name.removeprefix("footfall_funnel_"),
            *(sample.labels[name] for name in LABELS if name in sample.labels),
        ): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.startswith("footfall_funnel_")
    }


async def shown_when(service: Service, is_there: Callable[[Samples], bool]) -> Samples:
    """As `shown`, once it is what a test waits for."""
    async with asyncio.timeout(20):
        while True:
            found = await shown(service)
            if is_there(found):
                return found
            await asyncio.sleep(0.02)


async def numbers(service: Service, name: str = "buyers", storefront: str = "Test shop") -> Samples:
    """As `shown`, once this funnel has been worked out."""
    return await shown_when(service, lambda found: ("entered", storefront, name) in found)


# What is shown


async def test_the_last_complete_day_is_shown_with_people_and_values(shop: Service) -> None:
    """Four view on the 1st: two add, one of them orders. One views the day before, one today."""
    second = timedelta(seconds=1)
    noon = DAY + timedelta(hours=12)
    await shop.send(
        [
            *(event(name, VIEWED, noon, price=10) for name in ("ana", "ben", "cleo", "dan")),
            *(event(name, ADDED, noon + second, price=10) for name in ("ana", "ben")),
            event("ana", ORDERED, noon + 2 * second, price=12.5, currency="USD"),
            event("eve", VIEWED, DAY - second),
            event("fay", VIEWED, DAY + timedelta(days=1)),
        ]
    )
    await publish(shop)
    found = await numbers(shop)

    labels = ("Test shop", "buyers")
    assert found.pop(("period_start_timestamp_seconds", *labels)) == DAY.timestamp()
    assert found.pop(("refreshed_timestamp_seconds", *labels)) == datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()
    assert found == {
        ("entered", *labels): 4,
        ("converted", *labels): 1,
        ("conversion_ratio", *labels): 0.25,
        ("reached", *labels, "1"): 4,
        ("reached", *labels, "2"): 2,
        ("reached", *labels, "3"): 1,
        ("value", *labels, "1", "EUR"): 40,
        ("value", *labels, "2", "EUR"): 20,
        ("value", *labels, "3", "USD"): 12.5,
        ("refresh_failures_total", *labels): 0,
    }


async def test_a_day_begins_where_the_storefront_is(shop: Service) -> None:
    """In Tokyo the 2nd of March began at 15:00 on the 1st, and is not over; the 1st began at 15:00 on 28 February."""
    name = 'Laden "Ost" \\ 東京'
    tokyo = await create_storefront(shop.engine, name, "Asia/Tokyo", "JPY")
    write, read = [
        (await create_key(shop.engine, tokyo.storefront_id, kind)).secret for kind in (KeyKind.WRITE, KeyKind.ADMIN)
    ]
    times = [datetime(2026, 2, 28, 15, tzinfo=UTC), datetime(2026, 3, 1, 14, 59, tzinfo=UTC)]
    await shop.send([event(str(time), VIEWED, time) for time in times], key=write)
    await put(shop, "buyers", BODY, read)
    await put(shop, "buyers/publish", {}, read)

    found = await numbers(shop, storefront=name)

    assert found[("entered", name, "buyers")] == 2
    assert found[("period_start_timestamp_seconds", name, "buyers")] == times[0].timestamp()


async def test_a_day_with_nobody_has_no_ratio(shop: Service) -> None:
    await publish(shop)
    found = await numbers(shop)

    assert found[("entered", "Test shop", "buyers")] == 0
    assert ("conversion_ratio", "Test shop", "buyers") not in found


async def test_another_definition_is_shown_in_place_of_the_first(shop: Service) -> None:
    await shop.send([event("ana", ORDERED, DAY)])
    await publish(shop)
    assert (await numbers(shop))[("entered", "Test shop", "buyers")] == 0
    assert (await put(shop, "buyers", funnel(ORDERED, conversion_window_seconds=60))).status_code == 200

    found = await shown_when(shop, lambda found: found[("entered", "Test shop", "buyers")] == 1)

    assert {key for key in found if key[0] == "reached"} == {("reached", "Test shop", "buyers", "1")}


async def test_nothing_is_shown_of_a_funnel_that_is_deleted_or_no_longer_published(shop: Service) -> None:
    await publish(shop)
    await numbers(shop)
    assert (await delete(shop, "buyers/publish")).status_code == 204
    await shown_when(shop, lambda found: not found)

    await publish(shop, "others")
    await numbers(shop, "others")
    assert (await delete(shop, "others")).status_code == 204
    await shown_when(shop, lambda found: not found)


async def test_a_stage_that_has_gone_is_a_failure_and_the_others_go_on(shop: Service) -> None:
    body = {**funnel(VIEWED), "steps": [{"any_of": [{"stage": "advocacy"}]}]}
    await put(shop, "a", body)
    await put(shop, "a/publish", {})
    await numbers(shop, "a")
    admin = (await create_key(shop.engine, shop.storefront_id, KeyKind.ADMIN)).secret
    stages = {"stages": [{"name": "buying", "rules": [{"event": ORDERED}]}]}
    headers = {"Authorization": f"Bearer {admin}"}
    assert (await shop.client.put("/v1/stages", json=stages, headers=headers)).status_code == 200

    found = await shown_when(shop, lambda found: found[("refresh_failures_total", "Test shop", "a")] == 1)
    assert found[("entered", "Test shop", "a")] == 0  # what was known
    await publish(shop, "b")
    await numbers(shop, "b")
    assert (await get(shop, "/a")).json()["publish"] == {"period": "day"}


# How it is asked for


async def test_publishing_is_part_of_the_saved_funnel(service: Service) -> None:
    saved = (await put(service, "buyers", BODY)).json()
    assert saved["publish"] is None
    published = await put(service, "buyers/publish", {"period": "week"})

    assert published.status_code == 200
    assert published.json() == {**saved, "publish": {"period": "week"}}
    assert (await get(service, "/buyers")).json() == published.json()
    assert (await get(service)).json() == [published.json()]


async def test_it_outlasts_a_new_definition_and_ends_when_asked(service: Service) -> None:
    await publish(service, period="month")
    assert (await put(service, "buyers", funnel(ORDERED))).json()["publish"] == {"period": "month"}
    assert (await delete(service, "buyers/publish")).status_code == 204
    assert (await delete(service, "buyers/publish")).status_code == 204
    assert (await get(service, "/buyers")).json()["publish"] is None


async def test_the_period_is_a_day_unless_another_is_asked_for(service: Service) -> None:
    await put(service, "buyers", BODY)
    assert (await put(service, "buyers/publish", {})).json()["publish"] == {"period": "day"}


FAULTY: list[tuple[object, str]] = [({"period": "year"}, "/period"), ({"every": "day"}, "/every"), ([], "")]


@pytest.mark.parametrize(("body", "pointer"), FAULTY)
async def test_a_faulty_period_is_refused(service: Service, body: object, pointer: str) -> None:
    await put(service, "buyers", BODY)
    assert pointers(await put(service, "buyers/publish", body)) == [pointer]


async def test_an_unknown_funnel_can_t_be_published(service: Service) -> None:
    for reply in (await put(service, "nobody/publish", {}), await delete(service, "nobody/publish")):
        assert "nobody" in assert_problem(reply, 404)["detail"]


async def test_only_who_may_save_may_publish(service: Service) -> None:
    await put(service, "buyers", BODY)
    assert_problem(await put(service, "buyers/publish", {}, service.write_key), 403)
    assert_problem(await put(service, "buyers/publish", {}, "unknown"), 401)


async def test_another_storefront_s_funnel_is_not_published(service: Service) -> None:
    other = await create_storefront(service.engine, "Other", "UTC", "EUR")
    key = (await create_key(service.engine, other.storefront_id, KeyKind.READ)).secret
    await put(service, "buyers", BODY)
    assert_problem(await put(service, "buyers/publish", {}, key), 404)
    assert (await get(service, "/buyers")).json()["publish"] is None


async def test_no_more_are_published_than_may_be(shop: Service) -> None:
    await publish(shop, "a")
    await publish(shop, "b")
    refused = assert_problem(await publish(shop, "c"), 409)

    assert refused["type"] == "urn:footfall:problem:too-many-published"
    assert "2 funnels" in refused["detail"]
    assert "FOOTFALL_PUBLISHED_FUNNELS_MAX" in refused["detail"]
    assert (await put(shop, "b/publish", {"period": "week"})).status_code == 200  # it has its place already
    await delete(shop, "a/publish")
    assert (await put(shop, "c/publish", {})).status_code == 200


async def test_the_limit_holds_for_requests_at_once(shop: Service) -> None:
    names = [f"f{number}" for number in range(6)]
    for name in names:
        await put(shop, name, BODY)

    replies = await asyncio.gather(*(put(shop, f"{name}/publish", {}) for name in names))

    assert sorted(reply.status_code for reply in replies) == [200, 200, 409, 409, 409, 409]


async def test_the_version_before_saves_funnels_and_leaves_publishing_alone(service: Service) -> None:
    """It knows no column for the period: what it adds is not published, and what it replaces stays so."""
    await publish(service)
    statement = text(
        "INSERT INTO funnel (storefront_id, name, definition) SELECT storefront_id, :name, definition FROM funnel "
        "ON CONFLICT (storefront_id, name) DO UPDATE SET definition = excluded.definition, updated_at = now()"
    )
    for name in ("buyers", "others"):
        async with service.engine.begin() as connection:
            await connection.execute(statement, {"name": name})

    listed = (await get(service)).json()
    assert {each["name"]: each["publish"] for each in listed} == {"buyers": {"period": "day"}, "others": None}
