"""Answers as files, through HTTP: read back by others' readers, and safe to open."""

import csv
import io
from datetime import datetime
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.reports.exports import FORMS
from tests.api.problem import assert_problem
from tests.service import Service

VIEWED, ADDED, ORDERED = "product_viewed", "product_added", "order_completed"
STAGES_URL = "/v1/reports/stages?from=2026-01-01&to=2026-03-01"
HOSTILE = ['=HYPERLINK("http://evil.test","Click")', "<script>alert(1)</script>", 'Tüten, "große"\n+ kleine']


def event(visitor: str, name: str, second: int, **properties: object) -> dict[str, Any]:
    at = f"2026-02-01T12:00:{second:02}Z"
    return {"visitor_id": visitor, "event": name, "client_time": at, "properties": properties}


def funnel(*labels: str, **more: Any) -> dict[str, Any]:
    steps = [{"any_of": [{"event": name}]} for name in (VIEWED, ADDED, ORDERED)]
    for step, label in zip(steps, labels, strict=False):
        step["label"] = label  # type: ignore[assignment]  # beside its list
    return {"range": {"start": "2026-02-01T00:00:00Z", "end": "2026-02-03T00:00:00Z"}, "steps": steps, **more}


@pytest.fixture
async def shop(service: Service) -> Service:
    """Ana orders after 10 and 30 seconds, ben adds after 20; cleo only views. The windows are closed long since."""
    journeys = [
        event("ana", VIEWED, 0, device="=1+1"),
        event("ana", ADDED, 10),
        event("ana", ORDERED, 30),
        event("ben", VIEWED, 0, device="mobile"),
        event("ben", ADDED, 20),
        event("cleo", VIEWED, 0),
    ]
    assert (await service.send(journeys)).json()["stored"] == len(journeys)
    return service


async def export(shop: Service, accept: str, body: object) -> httpx.Response:
    headers = {**shop.reader, "Accept": accept}
    reply = await shop.client.post("/v1/reports/funnel", json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply


def csv_rows(reply: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(reply.content.decode(), newline="")))


def parquet(reply: httpx.Response) -> Any:
    return pq.read_table(pa.BufferReader(reply.content))


def arrow_stream(reply: httpx.Response) -> Any:
    with pa.ipc.open_stream(reply.content) as reader:
        return reader.read_all()


async def test_a_funnel_as_csv_has_a_row_for_each_step(shop: Service) -> None:
    reply = await export(shop, "text/csv", funnel())
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="funnel.csv"'
    assert reply.headers["ETag"]
    names = ("step_number", "label", "reached_count", "drop_off_count", "seconds_from_entry_median")
    assert [tuple(row[name] for name in names) for row in csv_rows(reply)] == [
        ("1", VIEWED, "3", "1", ""),
        ("2", ADDED, "2", "1", "15.0"),
        ("3", ORDERED, "1", "", "30.0"),
    ]


async def test_hostile_labels_are_text_in_every_form(shop: Service) -> None:
    rows = csv_rows(await export(shop, "text/csv", funnel(*HOSTILE)))
    assert [row["label"] for row in rows] == ["'" + HOSTILE[0], *HOSTILE[1:]]
    for accept, read in (("application/vnd.apache.parquet", parquet), (FORMS[3].media_type, arrow_stream)):
        found = read(await export(shop, accept, funnel(*HOSTILE)))
        assert found.column("label").to_pylist() == HOSTILE


async def test_groups_and_periods_are_further_rows_of_the_one_table(shop: Service) -> None:
    body = funnel(breakdown={"property": "device"}, trend="day")
    rows = csv_rows(await export(shop, "text/csv", body))
    found = [(row["group"], row["period_start"], row["reached_count"]) for row in rows if row["step_number"] == "1"]
    assert sorted(found) == [
        ("", "", "3"),
        ("", "2026-02-01T00:00:00Z", "3"),
        ("", "2026-02-02T00:00:00Z", "0"),
        ("'=1+1", "", "1"),
        ("(not set)", "", "1"),
        ("mobile", "", "1"),
    ]


@pytest.mark.parametrize(
    ("accept", "read", "filename"),
    [
        ("application/vnd.apache.parquet", parquet, "funnel.parquet"),
        ("application/vnd.apache.arrow.stream", arrow_stream, "funnel.arrows"),
    ],
    ids=["parquet", "arrow"],
)
async def test_columnar_files_have_types(shop: Service, accept: str, read: Any, filename: str) -> None:
    reply = await export(shop, accept, funnel())
    assert reply.headers["Content-Type"] == accept
    assert reply.headers["Content-Disposition"] == f'attachment; filename="{filename}"'
    found = read(reply)
    assert found.schema.field("reached_count").type == pa.int64()
    assert found.schema.field("conversion_ratio").type == pa.float64()
    assert found.schema.field("label").type == pa.string()
    assert found.schema.field("group").type == pa.string()  # though nothing is in it
    assert found.schema.field("as_of").type == pa.timestamp("us", tz="UTC")
    assert found.column("reached_count").to_pylist() == [3, 2, 1]
    assert found.column("drop_off_count").to_pylist() == [1, 1, None]
    as_json = (await export(shop, "application/json", funnel())).json()
    assert found.column("as_of").to_pylist()[0] <= datetime.fromisoformat(as_json["as_of"])


async def test_a_saved_funnel_and_the_stages_export_too(shop: Service) -> None:
    await shop.client.put("/v1/funnels/bags", json=funnel(), headers=shop.reader)
    headers = {**shop.reader, "Accept": "text/csv"}
    saved = await shop.client.get("/v1/reports/funnel/bags", headers=headers)
    assert [row["reached_count"] for row in csv_rows(saved)] == ["3", "2", "1"]
    stages = await shop.client.get(STAGES_URL, headers=headers)
    assert stages.headers["Content-Disposition"] == 'attachment; filename="stages.csv"'
    assert [row["label"] for row in csv_rows(stages)][:2] == ["awareness", "consideration"]


async def test_who_accepts_nothing_we_have_is_told_what_there_is(shop: Service) -> None:
    headers = {**shop.reader, "Accept": "text/html"}
    reply = await shop.client.post("/v1/reports/funnel", json=funnel(), headers=headers)
    detail = str(assert_problem(reply, 406, "not-acceptable")["detail"])
    assert all(form.media_type in detail for form in FORMS)


async def test_the_document_lists_the_forms_of_every_report(service: Service) -> None:
    paths = (await service.client.get("/openapi.json")).json()["paths"]
    operations = [
        operation
        for path, methods in paths.items()
        if path.startswith("/v1/reports/")
        for operation in methods.values()
    ]
    assert len(operations) >= 3
    for operation in operations:
        content = operation["responses"]["200"]["content"]
        assert set(content) == {form.media_type for form in FORMS}
        assert "$ref" in content["application/json"]["schema"]
        assert "304" in operation["responses"]
