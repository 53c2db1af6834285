"""The copy of the keys: whole at every moment, for nobody else to read, and never in the way."""

from datetime import UTC, datetime
from pathlib import Path

from app.domain.stages import DEFAULT_STAGES
from app.domain.storefront import ApiKey, KeyKind, Storefront
from app.storage.key_cache import KnownSecret
from app.storage.key_copy import KeyCopy

SHOP = Storefront(1, "Hüte", "Europe/Berlin", "EUR", 1800, DEFAULT_STAGES)
KNOWN = [
    KnownSecret(ApiKey(1, KeyKind.WRITE, frozenset({"https://shop.example"}), SHOP), b"\x00\xff", None),
    KnownSecret(ApiKey(2, KeyKind.SERVER, None, SHOP), b"digest", datetime(2026, 3, 2, tzinfo=UTC)),
]


def copy(folder: Path) -> KeyCopy[KnownSecret]:
    return KeyCopy(folder / "keys.json", KnownSecret)


def test_what_is_kept_is_known_again(tmp_path: Path) -> None:
    copy(tmp_path).save(KNOWN)
    assert copy(tmp_path).load() == KNOWN
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_it_is_written_only_when_something_changes(tmp_path: Path) -> None:
    keys = copy(tmp_path)
    keys.save(KNOWN)
    (tmp_path / "keys.json").unlink()
    keys.save(KNOWN)
    assert keys.load() == []
    keys.save(KNOWN[:1])
    assert keys.load() == KNOWN[:1]


def test_without_a_copy_or_with_a_damaged_one_nothing_is_known(tmp_path: Path) -> None:
    assert copy(tmp_path).load() == []
    (tmp_path / "keys.json").write_bytes(b'[{"key_id":')
    assert copy(tmp_path).load() == []


def test_a_copy_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    copy(tmp_path / "missing").save(KNOWN)
