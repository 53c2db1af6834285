"""The script is small, built from the sources beside it, and browsers keep it as long as it is good."""

import gzip
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.tracker.router import SCRIPT, tracker_router

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "tracker"
MAX_GZIPPED_BYTES = 2_000


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(tracker_router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://footfall.test") as client:
        yield client


def test_it_is_at_most_two_thousand_bytes_gzipped() -> None:
    assert len(gzip.compress(SCRIPT.read_bytes(), 9)) <= MAX_GZIPPED_BYTES


def test_it_is_built_from_the_sources_as_they_are() -> None:
    """Otherwise: `make tracker`. The digest is written by build.mjs."""
    digest = hashlib.sha256()
    names = ["build.mjs", "package-lock.json", *(f"src/{path.name}" for path in (SOURCES / "src").iterdir())]
    for name in sorted(names):
        digest.update(f"{name}\n".encode() + (SOURCES / name).read_bytes())
    digest.update(SCRIPT.read_bytes())

    assert SCRIPT.with_name("t.js.sources").read_text().strip() == digest.hexdigest()


def test_it_runs_no_text_as_code() -> None:
    script = SCRIPT.read_text()

    assert not [word for word in ("eval(", "Function(", "innerHTML", "document.write", ".cookie") if word in script]


def test_the_documentation_has_the_stub_and_every_attribute() -> None:
    page = (ROOT / "docs" / "tracker.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in (SOURCES / "src").iterdir())
    names = {one or other for one, other in re.findall(r'options\.(\w+)|"(\w+)" in options', sources)}

    assert (SOURCES / "stub.js").read_text(encoding="utf-8") in page
    attributes = {"data-" + re.sub("[A-Z]", lambda capital: "-" + capital[0].lower(), name) for name in names}
    assert set(re.findall(r"^\| `(data-[a-z-]+)", page, re.MULTILINE)) == attributes


async def test_the_common_name_is_asked_for_anew_every_hour(client: httpx.AsyncClient) -> None:
    reply = await client.get("/t.js")

    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
    assert reply.headers["cache-control"] == "public, max-age=3600"
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.content == SCRIPT.read_bytes()


async def test_a_browser_that_has_it_gets_no_second_copy(client: httpx.AsyncClient) -> None:
    first = await client.get("/t.js")

    again = await client.get("/t.js", headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "public, max-age=3600"


async def test_a_client_without_gzip_gets_it_plain(client: httpx.AsyncClient) -> None:
    reply = await client.get("/t.js", headers={"Accept-Encoding": "identity"})

    assert "content-encoding" not in reply.headers
    assert reply.content == SCRIPT.read_bytes()


async def test_the_name_of_its_version_is_good_for_ever(client: httpx.AsyncClient) -> None:
    version = (await client.get("/t.js")).headers["etag"].removeprefix("W/").strip('"')

    reply = await client.get(f"/t.{version}.js")

    assert reply.content == SCRIPT.read_bytes()
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_the_name_of_another_version_leads_to_the_one_there_is(client: httpx.AsyncClient) -> None:
    reply = await client.get("/t.0123456789abcdef.js")

    assert (reply.status_code, reply.headers["location"]) == (302, "t.js")
    assert "immutable" not in reply.headers["cache-control"]


async def test_pages_of_any_origin_may_check_its_integrity(client: httpx.AsyncClient) -> None:
    reply = await client.get("/t.js", headers={"Origin": "https://shop.example"})

    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["cross-origin-resource-policy"] == "cross-origin"
