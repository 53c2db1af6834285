"""Keys in memory: what is unknown is looked up at once, but nobody can make a queue of that."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.storefront import KeyKind
from app.errors import Invalid, Unavailable
from app.storage import key_cache
from app.storage.key_cache import CachedKeys
from app.storage.keys import NewSecret, create_key, revoke_key, rotate_key
from app.storage.storefronts import create_storefront


@pytest.fixture
async def key(engine: AsyncEngine) -> NewSecret:
    shop = await create_storefront(engine, "Shop", "UTC", "EUR")
    return await create_key(engine, shop.storefront_id, KeyKind.SERVER)


async def test_a_key_that_is_rotated_has_two_digests_to_check_signatures_with(
    engine: AsyncEngine, key: NewSecret
) -> None:
    keys = CachedKeys(engine)
    before = await keys.find_signer(key.key_id)
    await rotate_key(engine, key.key_id, timedelta(hours=1))
    keys.forget()

    after = await keys.find_signer(key.key_id)

    assert before is not None
    assert after is not None
    assert len(before.digests) == 1
    assert len(after.digests) == 2
    assert set(before.digests) < set(after.digests)


async def test_a_secret_that_has_ended_is_no_digest_any_more(engine: AsyncEngine, key: NewSecret) -> None:
    await rotate_key(engine, key.key_id, timedelta(0))

    signer = await CachedKeys(engine).find_signer(key.key_id)

    assert signer is not None
    assert len(signer.digests) == 1


async def test_while_keys_are_being_looked_up_nobody_waits_for_a_turn_to_have_a_signature_checked_again(
    engine: AsyncEngine, key: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = CachedKeys(engine)
    await keys.find_signer(key.key_id)
    keys.forget()
    looking, go_on = asyncio.Event(), asyncio.Event()
    read = key_cache._read_secrets

    async def read_slowly(of: AsyncEngine) -> list[key_cache.KnownSecret]:
        looking.set()
        await go_on.wait()
        return await read(of)

    monkeypatch.setattr(key_cache, "_read_secrets", read_slowly)
    first = asyncio.create_task(keys.find_signer(key.key_id, fresh=True))
    await looking.wait()

    with pytest.raises(Unavailable):
        await keys.find_signer(key.key_id, fresh=True)

    go_on.set()
    assert await first is not None


async def test_only_so_many_requests_with_unknown_keys_wait_and_known_ones_are_not_held_up(
    engine: AsyncEngine, key: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = CachedKeys(engine)
    await keys.find(key.secret)
    monkeypatch.setattr(key_cache, "WAITING_MAX", 10)
    go_on = asyncio.Event()
    read = key_cache._read_secrets

    async def read_slowly(of: AsyncEngine) -> list[key_cache.KnownSecret]:
        await go_on.wait()
        return await read(of)

    monkeypatch.setattr(key_cache, "_read_secrets", read_slowly)
    waiting = [asyncio.create_task(keys.find(f"unknown {number}")) for number in range(10)]
    await asyncio.sleep(0)  # lets them begin

    with pytest.raises(Unavailable):
        await keys.find("one too many")
    assert await keys.find(key.secret) is not None

    go_on.set()
    assert await asyncio.gather(*waiting) == [None] * 10
    assert await keys.find("another") is None  # there is room again


async def test_signatures_that_do_not_fit_make_us_look_once_a_second_at_most(
    engine: AsyncEngine, key: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = CachedKeys(engine)
    await keys.find_signer(key.key_id)
    monkeypatch.setattr(key_cache, "_read_secrets", None)  # looking again would fail

    for _ in range(100):
        assert await keys.find_signer(key.key_id, fresh=True) is not None


# -- texts of one's own ----------------------------------------------------------------------------------------------


async def test_a_write_key_may_have_the_text_that_a_shop_has_in_its_pages(engine: AsyncEngine) -> None:
    shop = await create_storefront(engine, "Hats", "UTC", "EUR")
    made = await create_key(engine, shop.storefront_id, KeyKind.WRITE, chosen="G-ABC123")

    assert made.secret == "G-ABC123"
    found = await CachedKeys(engine).find("G-ABC123")
    assert found is not None
    assert (found.key_id, found.kind) == (made.key_id, KeyKind.WRITE)


async def test_a_text_is_one_keys_until_it_is_revoked(engine: AsyncEngine) -> None:
    one, other = [(await create_storefront(engine, name, "UTC", "EUR")).storefront_id for name in ("Hats", "Shoes")]
    made = await create_key(engine, one, KeyKind.WRITE, chosen="7")
    with pytest.raises(Invalid, match="is the text of a key already"):
        await create_key(engine, other, KeyKind.WRITE, chosen="7")

    await revoke_key(engine, made.key_id)
    assert (await create_key(engine, other, KeyKind.WRITE, chosen="7")).secret == "7"


@pytest.mark.parametrize("kind", [KeyKind.SERVER, KeyKind.READ, KeyKind.ADMIN])
async def test_a_secret_is_never_chosen(engine: AsyncEngine, kind: KeyKind) -> None:
    with pytest.raises(Invalid, match="Only a write key"):
        await create_key(engine, 1, kind, chosen="please")


@pytest.mark.parametrize("text", ["", "two words", "ff_write_mine", "x" * 201, "schlüssel"])
async def test_a_chosen_text_is_short_and_plain(engine: AsyncEngine, text: str) -> None:
    with pytest.raises(Invalid, match="1 to 200 printable ASCII characters, no spaces"):
        await create_key(engine, 1, KeyKind.WRITE, chosen=text)
