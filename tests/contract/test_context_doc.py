"""What docs/context.md says of channels, marks and dimensions is all there is."""

from collections.abc import Iterable

from app.domain.context import Channel, Device, DeviceType
from app.ingest.context.parameters import CLICK_IDS
from app.ingest.steps.redact import CODE_PROPERTIES
from app.ingest.steps.strip_urls import ADDRESS_PROPERTIES
from app.mirror.dimensions import DIMENSIONS
from app.storage.contexts import campaigns, devices
from app.storage.database import PROJECT_ROOT

DOC = (PROJECT_ROOT / "docs" / "context.md").read_text(encoding="utf-8")


def missing(words: Iterable[str], text: str = DOC) -> set[str]:
    return {word for word in words if f"`{word}`" not in text}


def test_every_word_is_there() -> None:
    assert missing([*Channel, *DeviceType, *CLICK_IDS, *ADDRESS_PROPERTIES, *CODE_PROPERTIES]) == set()


def test_every_dimension_of_a_context_is_there_and_in_the_readme() -> None:
    others = {"page_path", "page_host", "url", "referrer", "event", "trust"}
    readme = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    names = {dimension.name for dimension in DIMENSIONS}

    assert set(Device._fields) <= names
    assert missing(names - others) == set()
    assert missing(names, readme) == set()


def test_the_room_is_what_there_is() -> None:
    assert (devices()._levels[0][1], campaigns()._levels[0][1]) == (10_000, 20_000)
    assert "10,000 devices and 20,000 campaigns" in DOC
