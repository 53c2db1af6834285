"""The report routes through HTTP: numbers written out, who may ask, faulty input, limits."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.config import Settings
from app.domain.storefront import KeyKind
from app.mirror.scan import Scan
from app.reports.funnel import FUNNEL
from app.reports.warm import compile_matchers
from app.storage.database import DatabaseUrl
from app.storage.keys import create_key
from app.storage.storefronts import create_storefront
from tests.service import Service, running_service

URL = "/v1/reports/funnel"
VIEWED, ADDED, ORDERED = "product_viewed", "product_added", "order_completed"
RANGE = {"start": "2025-03-01T00:00:00Z", "end": "2025-04-01T00:00:00Z"}


def step(*names: str, **more: Any) -> dict[str, Any]:
    return {"any_of": [{"event": name} for name in names], **more}


def funnel(*names: str, **more: Any) -> dict[str, Any]:
    return {"range": RANGE, "steps": [step(name) for name in names], **more}


def where(property_name: object, op: object, *value: object) -> dict[str, Any]:
    """A funnel of one step with one condition."""
    condition = {"property": property_name, "op": op, **({"value": value[0]} if value else {})}
    return {"range": RANGE, "steps": [{"any_of": [{"event": VIEWED, "where": [condition]}]}]}


def event(visitor: str, name: str, at: datetime, **properties: object) -> dict[str, Any]:
    return {"visitor_id": visitor, "event": name, "client_time": at.isoformat(), "properties": properties}


def assert_problem(reply: httpx.Response, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = reply.json()
    assert problem["status"] == status
    assert {"type", "title", "detail", "instance"} <= problem.keys()
    return problem


def pointers(reply: httpx.Response) -> list[str]:
    return [fault["pointer"] for fault in assert_problem(reply, 422)["errors"]]


# The numbers


@pytest.fixture
async def present(settings: Settings, database: DatabaseUrl) -> AsyncIterator[Service]:
    """The service on the real clock: what is in progress depends on it, and Postgres has no other."""
    async with running_service(settings, database) as service:
        yield service


async def test_a_funnel_with_every_number_written_out(present: Service) -> None:
    """Eight enter. Ten days ago five: one views only, one views and adds, three order after 40, 60 and 140 s. Now
    three: two view only, one views and adds. The window of seven days has closed for the first five."""
    now = datetime.now(UTC)
    then = now - timedelta(days=10)
    seconds = timedelta(seconds=1)
    journeys = [
        *(event(name, VIEWED, then) for name in ("ana", "ben", "cleo", "dan", "eve")),
        event("ben", ADDED, then + 10 * seconds),
        *(event(name, ADDED, then + 20 * seconds) for name in ("cleo", "dan")),
        event("eve", ADDED, then + 100 * seconds),
        event("cleo", ORDERED, then + 40 * seconds),
        event("dan", ORDERED, then + 60 * seconds),
        event("eve", ORDERED, then + 140 * seconds),
        *(event(name, VIEWED, now - 60 * seconds) for name in ("fay", "gus", "hal")),
        event("hal", ADDED, now - 10 * seconds),
        event("ida", ORDERED, then),
    ]
    assert (await present.send(journeys)).json()["stored"] == len(journeys)
    body = funnel(VIEWED, ADDED, ORDERED)
    body["range"] = {"start": (then - seconds).isoformat(), "end": now.isoformat()}
    body["steps"][1]["label"] = "cart"
    answer = (await present.funnel(body)).json()

    def durations(values: dict[str, float], count: int) -> dict[str, Any]:
        return {"count": count, **{name: pytest.approx(value) for name, value in values.items()}}

    to_cart = durations(  # 10, 20, 20, 50, 100
        {"mean": 40, "median": 20, "p75": 50, "p90": 80, "p95": 90, "min": 10, "max": 100}, count=5
    )
    to_order = durations(  # 40, 60, 140
        {"mean": 80, "median": 60, "p75": 100, "p90": 124, "p95": 132, "min": 40, "max": 140}, count=3
    )
    cart_to_order = durations(  # 20, 40, 40
        {"mean": 100 / 3, "median": 40, "p75": 40, "p90": 40, "p95": 40, "min": 20, "max": 40}, count=3
    )
    not_asked_for = dict.fromkeys(("done_count", "done_ratio", "value", "without_value_count"))
    assert answer["steps"] == [
        {
            **not_asked_for,
            "step_number": 1,
            "label": VIEWED,
            "reached_count": 8,
            "conversion_ratio": 1.0,
            "step_conversion_ratio": 1.0,
            "drop_off_count": 3,
            "lost_count": 1,
            "in_progress_count": 2,
            "drop_off_ratio": pytest.approx(1 / 6),
            "seconds_from_previous": None,
            "seconds_from_entry": None,
        },
        {
            **not_asked_for,
            "step_number": 2,
            "label": "cart",
            "reached_count": 5,
            "conversion_ratio": 0.625,
            "step_conversion_ratio": 0.625,
            "drop_off_count": 2,
            "lost_count": 1,
            "in_progress_count": 1,
            "drop_off_ratio": 0.25,
            "seconds_from_previous": to_cart,
            "seconds_from_entry": to_cart,
        },
        {
            **not_asked_for,
            "step_number": 3,
            "label": ORDERED,
            "reached_count": 3,
            "conversion_ratio": 0.375,
            "step_conversion_ratio": 0.6,
            "drop_off_count": None,
            "lost_count": None,
            "in_progress_count": None,
            "drop_off_ratio": None,
            "seconds_from_previous": cart_to_order,
            "seconds_from_entry": to_order,
        },
    ]
    assert answer["seconds_to_convert"] == to_order
    assert answer["events_read"] == len(journeys)


async def test_an_empty_funnel_has_zeros_and_no_ratios(service: Service) -> None:
    answer = (await service.funnel(funnel(VIEWED, ORDERED))).json()
    first, last = answer["steps"]
    assert (first["reached_count"], first["drop_off_count"], first["lost_count"]) == (0, 0, 0)
    ratios = ("conversion_ratio", "step_conversion_ratio", "drop_off_ratio")
    assert [each[ratio] for each in (first, last) for ratio in ratios] == [None] * 6
    assert answer["seconds_to_convert"] is None
    assert answer["events_read"] == 0


async def test_labels_name_the_alternatives_unless_given(service: Service) -> None:
    steps = [step(VIEWED, ADDED), step(ORDERED, label="Bestellung"), {"any_of": [{"stage": "advocacy"}]}]
    answer = (await service.funnel({"range": RANGE, "steps": steps})).json()
    assert [each["label"] for each in answer["steps"]] == [
        "product_viewed or product_added",
        "Bestellung",
        "advocacy",
    ]


# Who may ask

ROUTES = [
    ("POST", URL),
    ("GET", URL + "/any"),
    ("GET", "/v1/reports/stages?from=2025-03-01&to=2025-03-02"),
    ("GET", "/v1/funnels"),
    ("GET", "/v1/funnels/any"),
    ("PUT", "/v1/funnels/any"),
    ("DELETE", "/v1/funnels/any"),
]


async def test_every_route_needs_a_key_that_may_read(service: Service, subtests: pytest.Subtests) -> None:
    async def ask(method: str, path: str, **headers: str) -> httpx.Response:
        body = funnel(VIEWED) if method in ("POST", "PUT") else None
        return await service.client.request(method, path, json=body, headers=headers)

    for route in ROUTES:
        with subtests.test(route=route):
            assert_problem(await ask(*route), 401)
            for nobody in ("", "Bearer", "Bearer ", "Bearer unknown", f"Basic {service.read_key}"):
                reply = await ask(*route, Authorization=nobody)
                assert_problem(reply, 401)
                assert reply.headers["WWW-Authenticate"].startswith("Bearer")
            for key in (service.write_key, service.server_key):
                reply = await ask(*route, Authorization=f"Bearer {key}")
                assert_problem(reply, 403)
                assert key not in reply.text
            reply = await ask(*route, Authorization=f"bearer {service.read_key}")
            assert reply.status_code in (200, 201, 204, 404)


async def test_an_admin_key_may_read_too(service: Service) -> None:
    admin_key = (await create_key(service.engine, service.storefront_id, KeyKind.ADMIN)).secret
    headers = {"Authorization": f"Bearer {admin_key}"}
    assert (await service.client.post(URL, json=funnel(VIEWED), headers=headers)).status_code == 200


async def test_faulty_input_without_a_key_is_told_about_the_key_only(service: Service) -> None:
    assert_problem(await service.client.post(URL, json={}), 401)


# Faulty input


def exclusion(after_step: int, before_step: int) -> dict[str, Any]:
    return {"after_step": after_step, "before_step": before_step, "any_of": [{"event": ORDERED}]}


TWO_STEPS = {"steps": [step(VIEWED), step(ADDED)]}
FAULTY_DEFINITIONS: list[tuple[dict[str, Any], str]] = [
    ({"steps": []}, "/steps"),
    ({"steps": [step(VIEWED)] * 51}, "/steps"),
    ({"steps": [{"any_of": []}]}, "/steps/0/any_of"),
    ({"steps": [{}]}, "/steps/0/any_of"),
    ({"steps": [step(*[VIEWED] * 51)]}, "/steps/0/any_of"),
    ({"steps": "all"}, "/steps"),
    ({"steps": None}, "/steps"),
    ({"steps": [step(VIEWED, label="")]}, "/steps/0/label"),
    ({"steps": [step(VIEWED, label="x" * 201)]}, "/steps/0/label"),
    ({"steps": [step("")]}, "/steps/0/any_of/0/event"),
    ({"steps": [step("x" * 1001)]}, "/steps/0/any_of/0/event"),
    ({"steps": [{"any_of": [{}]}]}, "/steps/0/any_of/0"),
    ({"steps": [{"any_of": [{"event": VIEWED, "stage": "purchase"}]}]}, "/steps/0/any_of/0"),
    ({"steps": [{"any_of": [{"stage": "loyalty"}]}]}, "/steps/0/any_of/0/stage"),
    ({"steps": [step(VIEWED, within_days=3)]}, "/steps/0/within_days"),
    ({"range": None}, "/range"),
    ({"range": {"start": RANGE["end"], "end": RANGE["start"]}}, "/range"),
    ({"range": {"start": RANGE["start"], "end": RANGE["start"]}}, "/range"),
    ({"range": {"start": "2025-03-01T00:00:00", "end": RANGE["end"]}}, "/range/start"),
    ({"range": {"start": "2025-03-01", "end": RANGE["end"]}}, "/range/start"),
    ({"range": {"start": "yesterday", "end": RANGE["end"]}}, "/range/start"),
    ({"range": {"start": RANGE["start"], "end": "9999999-01-01T00:00:00Z"}}, "/range/end"),
    ({"range": {"start": RANGE["start"]}}, "/range/end"),
    ({"range": {**RANGE, "zone": "UTC"}}, "/range/zone"),
    ({"conversion_window_seconds": 0}, "/conversion_window_seconds"),
    ({"conversion_window_seconds": -1}, "/conversion_window_seconds"),
    ({"conversion_window_seconds": 1.5}, "/conversion_window_seconds"),
    ({"conversion_window_seconds": 10**30}, "/conversion_window_seconds"),
    ({"conversion_window_seconds": 10 * 366 * 86_400 + 1}, "/conversion_window_seconds"),
    ({"order": "any"}, "/order"),
    ({"actor": "robot"}, "/actor"),
    ({"count": "all"}, "/count"),
    ({"limit": 5}, "/limit"),
    ({"steps": [step(VIEWED), step(ADDED, within_seconds=0)]}, "/steps/1/within_seconds"),
    ({"steps": [step(VIEWED, within_seconds=5)]}, "/steps/0/within_seconds"),
    ({"steps": [step(VIEWED, not_before_seconds=5)]}, "/steps/0/not_before_seconds"),
    ({"steps": [step(VIEWED, optional=True), step(ADDED)]}, "/steps/0/optional"),
    ({"steps": [step(VIEWED), step(ADDED, within_seconds=5, not_before_seconds=6)]}, "/steps/1/within_seconds"),
    ({"order": "any_order", "steps": [step(VIEWED), step(ADDED, within_seconds=5)]}, "/steps/1/within_seconds"),
    ({"order": "any_order", "steps": [step(VIEWED), step(ADDED, optional=True)]}, "/steps/1/optional"),
    ({"order": "any_order", "steps": [step(VIEWED), step(ADDED)], "exclude": [exclusion(1, 2)]}, "/exclude/0"),
    ({"exclude": [exclusion(1, 2)]}, "/exclude/0/before_step"),
    ({"steps": [step(VIEWED), step(ADDED)], "exclude": [exclusion(2, 2)]}, "/exclude/0/before_step"),
    ({"steps": [step(VIEWED), step(ADDED)], "exclude": [exclusion(0, 1)]}, "/exclude/0/after_step"),
    ({"steps": [step(VIEWED), step(ADDED, optional=True)], "exclude": [exclusion(1, 2)]}, "/exclude/0"),
    ({"exclude": [{**exclusion(1, 2), "any_of": [{"stage": "loyalty"}]}], **TWO_STEPS}, "/exclude/0/any_of/0/stage"),
    ({"exclude": [exclusion(1, 2)] * 21, **TWO_STEPS}, "/exclude"),
    ({"same": ["a", "b", "c", "d"]}, "/same"),
    ({"same": [""]}, "/same/0"),
    ({"filters": [{"did": {"any_of": [{"stage": "loyalty"}]}}]}, "/filters/0/did/any_of/0/stage"),
    ({"as_of": "yesterday"}, "/as_of"),
]


async def test_faulty_definitions_are_told_where(service: Service, subtests: pytest.Subtests) -> None:
    for change, pointer in FAULTY_DEFINITIONS:
        with subtests.test(change=change, pointer=pointer):
            assert pointer in pointers(await service.funnel({**funnel(VIEWED), **change}))


FAULTY_CONDITIONS = [
    where("price", "=="),
    where("price", "=", [1]),
    where("price", "="),
    where("price", "=", {"a": 1}),
    where("price", "!=", None),
    where("price", "in", 1),
    where("price", "in"),
    where("price", "in", list(range(1001))),
    where("price", "in", [None]),
    where("price", "in", [[1]]),
    where("price", "exists", 1),
    where("price", "exists", "true"),
    where("price", "<", True),
    where("price", ">", [1]),
    where("price", "contains"),
    where("price", "contains", ["a"]),
    where("price", "=", "x" * 1001),
    where("", "exists"),
    where(5, "exists"),
    where("x" * 1001, "exists"),
    {"range": RANGE, "steps": [{"any_of": [{"event": VIEWED, "where": [{"dimension": "colour", "op": "exists"}]}]}]},
    {"range": RANGE, "steps": [{"any_of": [{"event": VIEWED, "where": [{"op": "exists"}]}]}]},
]


async def test_conditions_whose_value_does_not_fit_are_refused(service: Service, subtests: pytest.Subtests) -> None:
    for body in FAULTY_CONDITIONS:
        with subtests.test(body=body):
            assert all(
                pointer.startswith("/steps/0/any_of/0/where/0") for pointer in pointers(await service.funnel(body))
            )


NAMES = (
    "a'b",
    'a"b',
    "a/b",
    "a~b",
    "a\\b",
    "$.a[*]",
    "naïve 😀",
    "'; DROP TABLE event; --",
    "?",
    "%s",
    "{x}",
    "\u2028",
)


async def test_names_and_values_are_data_whatever_they_hold(service: Service, subtests: pytest.Subtests) -> None:
    for name in NAMES:
        with subtests.test(name=name):
            at = datetime(2025, 3, 1, 12, tzinfo=UTC)
            sent = [
                event("ana", name, at, **{name: name}),
                event("ben", name, at, **{name: "else"}),
                event("cleo", VIEWED, at),
            ]
            assert (await service.send(sent)).status_code == 200
            for op, value, reached in (("=", name, 1), ("!=", name, 1), ("contains", name, 1), ("exists", True, 2)):
                body = where(name, op, value)
                body["steps"][0]["any_of"][0]["event"] = name
                reply = await service.funnel(body)
                assert reply.status_code == 200, reply.text
                assert reply.json()["steps"][0]["reached_count"] == reached
                assert reply.json()["steps"][0]["label"] == name


EXTREME_VALUES = [10**400, -(10**400), 2**63, 2**64, -(2**63) - 1, 1e308, 5e-324, "\0", "a\0b", "\ufffe"]


async def test_values_at_the_ends_of_their_types_are_answered_or_refused(
    service: Service, subtests: pytest.Subtests
) -> None:
    for value in EXTREME_VALUES:
        for op in ("=", "<", "in", "contains"):
            with subtests.test(value=value, op=op):
                at = datetime(2025, 3, 1, 12, tzinfo=UTC)
                await service.send(event("ana", VIEWED, at, price=1))
                reply = await service.funnel(where("price", op, [value] if op == "in" else value))
                assert reply.status_code in (200, 422)


NO_JSON = [
    b"",
    b"{",
    b"nonsense",
    b'{"range": }',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"steps": NaN',
    b'{"n": ' + b"9" * 5000 + b"}",
]


async def test_a_body_that_is_no_json_is_refused(service: Service, subtests: pytest.Subtests) -> None:
    for body in NO_JSON:
        with subtests.test(body=body):
            headers = {**service.reader, "Content-Type": "application/json"}
            reply = await service.client.post(URL, content=body, headers=headers)
            assert reply.status_code in (400, 422), reply.text
            assert_problem(reply, reply.status_code)


NO_OBJECT = [[], 1, None, "text", True]


async def test_a_body_that_is_no_object_is_refused(service: Service, subtests: pytest.Subtests) -> None:
    for body in NO_OBJECT:
        with subtests.test(body=body):
            assert_problem(await service.client.post(URL, json=body, headers=service.reader), 422)


WRONG_METHODS = [("GET", URL), ("PUT", URL), ("DELETE", URL), ("POST", "/v1/reports/stages"), ("POST", "/v1/funnels")]


async def test_wrong_methods_are_told_the_right_one(service: Service, subtests: pytest.Subtests) -> None:
    for method, path in WRONG_METHODS:
        with subtests.test(method=method, path=path):
            reply = await service.client.request(method, path, headers=service.reader)
            assert_problem(reply, 405)
            assert reply.headers["Allow"]


async def test_too_many_conditions_for_one_pass_are_refused(service: Service) -> None:
    """Each step means a stage that needs another, so fifty steps make more conditions than a mask has bits."""
    steps = [{"any_of": [{"stage": "retention"}, {"stage": "purchase"}]}] * 50
    problem = assert_problem(await service.funnel({"range": RANGE, "steps": steps}), 422)
    assert "63 are possible" in problem["detail"]


async def test_the_largest_funnel_that_is_allowed_is_answered(service: Service) -> None:
    await service.send(event("ana", VIEWED, datetime(2025, 3, 1, 12, tzinfo=UTC), price=1))
    condition = {"property": "price", "op": "in", "value": list(range(1000))}
    body = funnel(*[VIEWED] * 50, conversion_window_seconds=10 * 366 * 86_400)
    body["range"] = {"start": "0001-01-01T00:00:00Z", "end": "9999-12-31T23:59:59Z"}
    body["steps"][0]["any_of"][0]["where"] = [condition]
    reply = await service.funnel(body)
    assert reply.status_code == 200, reply.text
    assert reply.json()["steps"][0]["reached_count"] == 1


# Near a valid body, anything may come

texts = st.sampled_from(["", VIEWED, "purchase", "retention", "price", "/", "\0", "😀", "'", "x" * 1001])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just(10**400)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2))
times = st.sampled_from([RANGE["start"], RANGE["end"], "2025-03-01", "0001-01-01T00:00:00+14:00", 0, 1e18, -1e18])


def mostly(likely: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(likely, likely, likely, likely, likely, likely, anything)


def some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Any]:
    return mostly(st.fixed_dictionaries(required, optional=optional))


ops = mostly(st.sampled_from(["=", "!=", "in", "exists", "<", ">", "contains"]))
condition_bodies = some(
    {"property": mostly(texts), "op": ops}, {"value": scalars | st.lists(scalars, max_size=3), "more": anything}
)
alternative_bodies = some(
    {}, {"event": mostly(texts), "stage": mostly(texts), "where": mostly(st.lists(condition_bodies, max_size=2))}
)
any_ofs = mostly(st.lists(alternative_bodies, min_size=1, max_size=2))
numbers = mostly(st.integers(0, 4))
step_bodies = some(
    {"any_of": any_ofs},
    {
        "label": mostly(texts),
        "within_seconds": numbers,
        "not_before_seconds": numbers,
        "optional": mostly(st.booleans()),
    },
)
ranges = some({"start": mostly(times), "end": mostly(times)}, {})
exclusions = some({"after_step": numbers, "before_step": numbers, "any_of": any_ofs}, {})
did = some({"any_of": any_ofs}, {"range": ranges})
filter_bodies = condition_bodies | some({}, {"did": did, "did_not": did})
subjects = some({}, {"property": mostly(texts), "dimension": mostly(st.sampled_from(["page_path", "trust"]))})
funnel_bodies = some(
    {"range": ranges, "steps": mostly(st.lists(step_bodies, min_size=1, max_size=3))},
    {
        "conversion_window_seconds": scalars,
        "order": mostly(st.sampled_from(["in_order", "strict", "any_order"])),
        "actor": mostly(st.sampled_from(["person", "session", "account"])),
        "count": mostly(st.sampled_from(["unique", "entries"])),
        "exclude": mostly(st.lists(exclusions, max_size=2)),
        "same": mostly(st.lists(texts, max_size=2)),
        "filters": mostly(st.lists(filter_bodies, max_size=2)),
        "as_of": mostly(times),
        "breakdown": subjects,
        "trend": mostly(st.sampled_from(["day", "month"])),
        "compare": mostly(st.just("previous")),
        "between": mostly(st.lists(some({"from_step": numbers, "to_step": numbers}, {}), max_size=2)),
        "curve": mostly(st.booleans()),
        "value": mostly(texts),
    },
)


@hypothesis_settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(body=funnel_bodies)
async def test_no_body_breaks_the_service(service: Service, body: object) -> None:
    headers = {**service.reader, "Content-Type": "application/json"}
    reply = await service.client.post(URL, content=json.dumps(body), headers=headers)
    assert reply.status_code in (200, 400, 422), reply.text
    if reply.status_code == 200:
        assert len(reply.json()["steps"]) == len(body["steps"])  # type: ignore[index]  # it was accepted


# Limits


async def test_a_report_over_its_time_limit_is_ended(
    settings: Settings, database: DatabaseUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(params: object, scan: Scan, storefront: object) -> None:
        scan._fetch(
            "SELECT count(*) AS n FROM range(100000000) a, range(100000000) b WHERE a.range % 7 = b.range % 5", []
        )

    compile_matchers()  # or the report after it is over the limit, too
    async with running_service(settings.model_copy(update={"report_timeout_seconds": 1.5}), database) as service:
        with monkeypatch.context() as patched:
            patched.setattr(FUNNEL, "run", endless)
            reply = await service.funnel(funnel(VIEWED))
            assert "1.5 seconds" in assert_problem(reply, 504)["detail"]
        assert (await service.funnel(funnel(VIEWED))).status_code == 200


async def test_too_many_reports_at_once_are_turned_away_and_the_rest_answered(
    settings: Settings, database: DatabaseUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    run = FUNNEL.run

    def wait_and_run(*arguments: Any) -> Any:
        assert go_on.wait(30)
        return run(*arguments)

    async with running_service(settings.model_copy(update={"report_concurrency": 1}), database) as service:
        assert (await service.funnel(funnel(VIEWED))).status_code == 200  # the key is known from here on
        monkeypatch.setattr(FUNNEL, "run", wait_and_run)
        bodies = [funnel(VIEWED, conversion_window_seconds=seconds) for seconds in range(1, 13)]  # equal ones share
        asked = [asyncio.create_task(service.funnel(body)) for body in bodies]
        while not any(task.done() for task in asked):  # noqa: ASYNC110  # turned away at once
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        assert (await service.send(event("ana", VIEWED, datetime(2025, 3, 1, tzinfo=UTC)))).status_code == 200
        go_on.set()
        replies = await asyncio.gather(*asked)
    statuses = sorted(reply.status_code for reply in replies)
    assert statuses == [200] * 9 + [429] * 3
    assert all(int(reply.headers["Retry-After"]) > 0 for reply in replies if reply.status_code == 429)


# Stages and their days


async def test_the_stages_are_a_funnel_in_their_order(service: Service) -> None:
    at, minute = datetime(2025, 3, 1, 12, tzinfo=UTC), timedelta(minutes=1)
    names = ["page_viewed", VIEWED, ADDED, ORDERED, ORDERED, "product_shared"]
    await service.send(
        [
            *(event("ana", name, at + place * minute) for place, name in enumerate(names)),
            *(event("ben", name, at + place * minute) for place, name in enumerate(names[:4])),
            *(event("cleo", name, at + place * minute) for place, name in enumerate(names[:2])),
            event("dan", ORDERED, at),
        ]
    )
    reply = await stages(service, "2025-03-01", "2025-03-02")
    found = [(each["label"], each["reached_count"]) for each in reply.json()["steps"]]
    assert found == [
        ("awareness", 3),
        ("consideration", 3),
        ("decision", 2),
        ("purchase", 2),
        ("retention", 1),
        ("advocacy", 1),
    ]
    short = await stages(service, "2025-03-01", "2025-03-02", conversion_window_seconds="60")
    assert [each["reached_count"] for each in short.json()["steps"]] == [3, 3, 0, 0, 0, 0]


async def stages(service: Service, start: str, end: str, **more: str) -> httpx.Response:
    parameters = {"from": start, "to": end, **more}
    return await service.client.get("/v1/reports/stages", params=parameters, headers=service.reader)


# A day, the day after, and where the first begins and ends in Berlin: days of 23, 24, 25 and 24 hours.
DAYS = [
    ("2025-03-30", "2025-03-31", "2025-03-30T00:00:00+01:00", "2025-03-31T00:00:00+02:00"),
    ("2025-06-15", "2025-06-16", "2025-06-15T00:00:00+02:00", "2025-06-16T00:00:00+02:00"),
    ("2025-10-26", "2025-10-27", "2025-10-26T00:00:00+02:00", "2025-10-27T00:00:00+01:00"),
    ("2025-12-01", "2025-12-02", "2025-12-01T00:00:00+01:00", "2025-12-02T00:00:00+01:00"),
]


async def test_days_begin_at_midnight_where_the_storefront_is(service: Service, subtests: pytest.Subtests) -> None:
    shop = await create_storefront(service.engine, "Laden", "Europe/Berlin", "EUR")
    read_key = (await create_key(service.engine, shop.storefront_id, KeyKind.READ)).secret
    write_key = (await create_key(service.engine, shop.storefront_id, KeyKind.WRITE)).secret
    berlin = replace(service, read_key=read_key, write_key=write_key)
    second = timedelta(seconds=1)
    for day, day_after, begins_at, ends_at in DAYS:
        with subtests.test(day=day):
            begin, end = datetime.fromisoformat(begins_at), datetime.fromisoformat(ends_at)
            moments = [begin - second, begin, end - second, end]
            await berlin.send([event(moment.isoformat(), "page_viewed", moment) for moment in moments])
            for start, stop in ((day, day_after), (begins_at, day_after), (day, ends_at), (begins_at, ends_at)):
                reply = await stages(berlin, start, stop)
                assert reply.status_code == 200, reply.text
                assert reply.json()["steps"][0]["reached_count"] == 2


NO_RANGES = [
    ("2025-03-02", "2025-03-01"),
    ("2025-03-01", "2025-03-01"),
    ("2025-03-01T12:00:00Z", "2025-03-01"),
    ("2025-03-02", "2025-03-01T12:00:00Z"),
    ("2025-03-01T00:00:00Z", "2025-03-01"),
    ("2025-03-01T12:00:00", "2025-03-02"),
    ("2025-02-30", "2025-03-02"),
    ("today", "2025-03-02"),
    ("", "2025-03-02"),
    ("0000-01-01", "2025-03-02"),
    ("2025-03-01", "10000-01-01"),
]


async def test_stages_refuse_a_range_that_is_none(service: Service, subtests: pytest.Subtests) -> None:
    for start, end in NO_RANGES:
        with subtests.test(start=start, end=end):
            assert_problem(await stages(service, start, end), 422)


RANGES = [("0001-01-01", "9999-12-31"), ("2025-03-01", "2025-03-01T00:00:01Z")]


async def test_stages_answer_ranges_of_any_length(service: Service, subtests: pytest.Subtests) -> None:
    for start, end in RANGES:
        with subtests.test(start=start, end=end):
            assert (await stages(service, start, end)).status_code == 200


async def test_stages_refuse_parameters_they_do_not_know_and_miss_those_they_need(service: Service) -> None:
    assert pointers(await stages(service, "2025-03-01", "2025-03-02", until="now")) == ["/query/until"]
    reply = await service.client.get("/v1/reports/stages", params={"to": "2025-03-02"}, headers=service.reader)
    assert pointers(reply) == ["/query/from"]
    for window in ("0", "-5", "week", "1e99", str(10**30)):
        reply = await stages(service, "2025-03-01", "2025-03-02", conversion_window_seconds=window)
        assert pointers(reply) == ["/query/conversion_window_seconds"]
