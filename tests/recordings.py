"""What real clients sent, recorded outside of this repository; tests that read it skip where it is absent."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.domain.event import Trust
from app.ingest.decompress import decompressed
from app.ingest.formats import FORMATS
from app.ingest.formats.base import RequestContext, WireFormat
from tests.events import NOW

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "clients"
BODY_MAX_BYTES = 4 * 1024 * 1024

# Which formats take what a file holds; a request's address tells which of them.
RECORDINGS: dict[str, tuple[str, ...]] = {
    "segment-browser.jsonl": ("segment",),
    "segment-node.jsonl": ("segment",),
    "ga4-measurement-protocol.jsonl": ("ga4",),
    "matomo-browser.jsonl": ("matomo",),
    "posthog-node.jsonl": ("posthog",),
    "plausible-browser.jsonl": ("plausible",),
    "umami-browser.jsonl": ("umami",),
}


@dataclass(frozen=True)
class RecordedRequest:
    """One request with events. body: decompressed. scenario: what the client was made to do, see the recordings."""

    wire_format: WireFormat
    scenario: str
    path: str
    body: bytes
    context: RequestContext


@cache
def recorded(file_name: str) -> list[RecordedRequest]:
    """The requests of a file that carry events, as the formats of this file get them. Skips without recordings."""
    path = FOLDER / file_name
    if not path.exists():
        pytest.skip(f"there are no recordings of clients: {file_name} is not beside this repository")
    if not any(wire_format.name in RECORDINGS[file_name] for wire_format in FORMATS):
        pytest.skip(f"no format takes {file_name}")
    return list(_requests(path))


def _requests(path: Path) -> Iterator[RecordedRequest]:
    by_path = {at: known for known in FORMATS if known.name in RECORDINGS[path.name] for at in known.paths}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            sent = json.loads(line)
            address = urlsplit(sent["path"])
            wire_format = by_path.get(address.path)
            if wire_format is None or sent["method"] not in wire_format.methods:
                continue
            headers = {name.lower().encode(): value.encode() for name, value in sent["headers"]}
            context = RequestContext(
                1,
                Trust.BROWSER,
                NOW,
                headers.get(b"content-type", b"").decode().split(";")[0].strip().lower(),
                max_events=1_000,
                path=address.path,
                query=dict(parse_qsl(address.query)),
                cookieless_key=lambda: "day-recorded",
            )
            body = decompressed(base64.b64decode(sent["body_b64"]), headers, BODY_MAX_BYTES)
            yield RecordedRequest(wire_format, sent["scenario"], address.path, body, context)
