"""The command line as others script against it: shapes of its JSON, plain words for what is wrong."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import asyncpg
import pytest
from alembic import command

from app.doctor import REPAIR
from app.storage import database as database_module
from app.storage.database import DatabaseUrl, _alembic_config
from tests.conftest import run_sql
from tests.integration.commands import Done, Footfall


@pytest.fixture
def held_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of the settings, held by somebody who answers nothing."""
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        port = int(holder.getsockname()[1])
        monkeypatch.setenv("FOOTFALL_PORT", str(port))
        yield port


# -- storefronts and keys ------------------------------------------------------------------------------------


def test_a_storefront_and_its_keys_as_json(on_database: DatabaseUrl, footfall: Footfall) -> None:
    created = footfall("storefront", "create", "Müsli & Co", "--time-zone", "Europe/Berlin", "--json")
    shop = created.json["storefront_id"]

    assert created.code == 0
    assert created.json == {"storefront_id": shop, "name": "Müsli & Co"}
    assert footfall("storefront", "list", "--json").json == [
        {"storefront_id": shop, "name": "Müsli & Co", "time_zone": "Europe/Berlin", "currency": "EUR"}
    ]
    for kind in ("write", "server", "read", "admin"):
        key = footfall("keys", "create", str(shop), "--kind", kind, "--json").json
        assert set(key) == {"key", "kind", "key_id"}
        assert key["kind"] == kind
        assert key["key"].startswith(f"ff_{kind}_")
    assert footfall("keys", "create", "Müsli & Co", "--kind", "read", "--json").code == 0


def test_a_key_is_printed_alone_for_people_too(on_database: DatabaseUrl, footfall: Footfall) -> None:
    footfall("storefront", "create", "Shop")

    printed = footfall("keys", "create", "Shop", "--kind", "write").out

    assert printed.strip().startswith("ff_write_")
    assert len(printed.split()) == 1


def test_a_number_means_the_storefront_with_that_number_whatever_others_are_called(
    on_database: DatabaseUrl, footfall: Footfall
) -> None:
    footfall("storefront", "create", "2")
    footfall("storefront", "create", "Second")

    footfall("keys", "create", "2", "--kind", "read")

    assert len(footfall("keys", "list", "Second", "--json").json) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("storefront", "create", "Shop"), "There is a storefront named 'Shop' already"),
        (("storefront", "create", "A", "--time-zone", "Mars/North"), "'Mars/North' is no time zone"),
        (("storefront", "create", "A", "--currency", "euro"), "'euro' is no currency"),
        (("storefront", "create", " "), "1 to 200 printable characters"),
        (("keys", "create", "Nobody", "--kind", "write"), "There is no storefront 'Nobody'"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_line(
    on_database: DatabaseUrl, footfall: Footfall, arguments: tuple[str, ...], said: str
) -> None:
    assert footfall("storefront", "create", "Shop").code == 0

    done = footfall(*arguments)

    assert done.code == 1
    assert said in done.text
    assert "Traceback" not in done.text


# -- settings ------------------------------------------------------------------------------------------------


def test_a_misspelled_variable_stops_every_command(monkeypatch: pytest.MonkeyPatch, footfall: Footfall) -> None:
    monkeypatch.setenv("FOOTFALL_DATABSE_URL", "postgresql://db/shop")

    for arguments in (("migrate",), ("serve",), ("doctor",), ("storefront", "list")):
        done = footfall(*arguments)
        assert done.code == 1
        assert "FOOTFALL_DATABSE_URL" in done.text


def test_an_impossible_value_is_named(monkeypatch: pytest.MonkeyPatch, footfall: Footfall) -> None:
    monkeypatch.setenv("FOOTFALL_PORT", "eighty")

    done = footfall("serve")

    assert done.code == 1
    assert "FOOTFALL_PORT" in done.text


def test_a_network_that_is_none_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch, footfall: Footfall) -> None:
    monkeypatch.setenv("FOOTFALL_TRUSTED_PROXIES", "10.0.0.0/99")

    said = footfall("serve").text

    assert said == "FOOTFALL_TRUSTED_PROXIES: '10.0.0.0/99' is no network; write 10.0.0.0/8 or 192.168.1.7"


def test_settings_that_contradict_each_other_are_named(monkeypatch: pytest.MonkeyPatch, footfall: Footfall) -> None:
    monkeypatch.setenv("FOOTFALL_SPOOL_MAX_BYTES", "65536")

    said = footfall("serve").text

    assert said == "FOOTFALL_SPOOL_MAX_BYTES must be at least FOOTFALL_REQUEST_MAX_BYTES, or 0 for no spool"


def test_an_address_of_another_database_is_refused(monkeypatch: pytest.MonkeyPatch, footfall: Footfall) -> None:
    monkeypatch.setenv("FOOTFALL_DATABASE_URL", "mysql://root:hunter2@db/shop")

    done = footfall("migrate")

    assert done.code == 1
    assert "postgresql://" in done.text
    assert "hunter2" not in done.text


# -- doctor --------------------------------------------------------------------------------------------------


def test_doctor_misses_a_storefront_then_its_keys_then_nothing(on_database: DatabaseUrl, footfall: Footfall) -> None:
    without_shop = footfall("doctor")
    footfall("storefront", "create", "Shop")
    without_keys = footfall("doctor")
    for kind in ("write", "read"):
        footfall("keys", "create", "Shop", "--kind", kind)
    with_all = footfall("doctor")

    assert "There is no storefront yet: run `footfall storefront create NAME`." in without_shop.text
    assert "No key may send events: run `footfall keys create STOREFRONT --kind write`." in without_keys.text
    assert "No key may read reports: run `footfall keys create STOREFRONT --kind read`." in without_keys.text
    assert "1 storefront(s)" in with_all.text
    assert "No key may" not in with_all.text
    assert [done.code for done in (without_shop, without_keys)] == [1, 1]


def test_doctor_finds_an_old_schema(on_database: DatabaseUrl, footfall: Footfall) -> None:
    command.downgrade(_alembic_config(on_database), "base")

    done = footfall("doctor")

    assert done.code == 1
    assert "run `footfall migrate`" in done.text
    assert "The database is up to date." in footfall("migrate").text
    assert "run `footfall migrate`" not in footfall("doctor").text


def test_doctor_finds_a_database_that_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, footfall: Footfall, held_port: int
) -> None:
    monkeypatch.setenv("FOOTFALL_DATABASE_URL", f"postgresql://shop:hunter2@127.0.0.1:{held_port}/shop")

    done = footfall("doctor")

    assert done.code == 1
    assert f"Postgres at 127.0.0.1:{held_port}/shop refuses connections" in done.text
    assert "hunter2" not in done.text


def test_doctor_finds_what_is_left_of_a_damaged_spool(
    on_database: DatabaseUrl, footfall: Footfall, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "spool.damaged-2026-11-22").touch()

    assert "The spool was damaged (spool.damaged-2026-11-22): " in footfall("doctor").text


def test_doctor_finds_a_port_that_is_taken(on_database: DatabaseUrl, footfall: Footfall) -> None:
    async def examine_while_somebody_else_answers() -> Done:
        closed = asyncio.Semaphore(0)

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            closed.release()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FOOTFALL_PORT", str(port))
            async with server, asyncio.timeout(30):
                done = await asyncio.to_thread(footfall, "doctor")
                for _ in ("its question", "its look at the port"):
                    await closed.acquire()
                return done

    done = asyncio.run(examine_while_somebody_else_answers())

    assert done.code == 1
    assert "Something holds port" in done.text


def test_doctor_finds_rows_of_another_cluster(on_database: DatabaseUrl, footfall: Footfall) -> None:
    footfall("storefront", "create", "Shop")
    run_sql(
        on_database,
        """
        INSERT INTO event (storefront_id, event_id, client_time, occurred_at, received_at, position, seq, trust,
                           event_name, properties, xid)
        VALUES (1, gen_random_uuid(), now(), now(), now(), 0, 0, 1, 'page_viewed', '{}', '9000000000')
        """,
    )

    found = footfall("doctor").text
    assert "transaction numbers from another cluster" in found

    async def repair() -> None:
        connection = await asyncpg.connect(on_database.libpq)
        await connection.execute(REPAIR.removesuffix(" VACUUM ANALYZE;"))
        await connection.close()

    asyncio.run(repair())

    assert "another cluster" not in footfall("doctor").text
    assert REPAIR in found


# -- a database that is away ---------------------------------------------------------------------------------


def test_a_command_without_its_database_says_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch, footfall: Footfall, held_port: int
) -> None:
    monkeypatch.setenv("FOOTFALL_DATABASE_URL", f"postgresql://shop:hunter2@127.0.0.1:{held_port}/shop")

    for arguments in (("storefront", "list"), ("migrate",)):
        done = footfall(*arguments)
        assert done.code == 1
        assert "(FOOTFALL_DATABASE_URL) refuses connections" in done.text
        assert "hunter2" not in done.text
        assert "Traceback" not in done.text


@pytest.mark.parametrize("command_line", [("doctor",), ("keys", "list", "1"), ("storefront", "list"), ("migrate",)])
def test_a_database_that_hangs_is_given_up(
    monkeypatch: pytest.MonkeyPatch, footfall: Footfall, command_line: tuple[str, ...]
) -> None:
    monkeypatch.setattr(database_module, "CONNECT_TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}/shop"
        monkeypatch.setenv("FOOTFALL_DATABASE_URL", f"postgresql://shop:hunter2@{place}")

        done = footfall(*command_line)

    assert done.code == 1
    assert f"Postgres at {place}" in done.text
    assert "does not answer" in done.text
    assert "Traceback" not in done.text


def test_keys_can_be_listed_and_ended(on_database: DatabaseUrl, footfall: Footfall) -> None:
    footfall("storefront", "create", "Shop")
    footfall("keys", "create", "Shop", "--kind", "write", "--origin", "https://Shop.example/")
    (key,) = footfall("keys", "list", "Shop", "--json").json

    assert (key["kind"], key["origins"]) == ("write", ["https://shop.example"])
    assert footfall("keys", "revoke", str(key["key_id"])).code == 0
    assert footfall("keys", "list", "Shop", "--json").json == []
    assert "There is no key" in footfall("keys", "revoke", str(key["key_id"])).text


def test_an_origin_that_no_browser_sends_is_refused(on_database: DatabaseUrl, footfall: Footfall) -> None:
    footfall("storefront", "create", "Shop")
    done = footfall("keys", "create", "Shop", "--kind", "write", "--origin", "shop.example/cart")

    assert done.code == 1
    assert "write it as https://shop.example" in done.text


def test_a_missing_file_to_import_is_said_in_a_line(footfall: Footfall, tmp_path: Path) -> None:
    done = footfall("import", "ndjson", str(tmp_path / "nothing.ndjson"), "--key", "ff_server_x")

    assert done.code == 1
    assert "nothing.ndjson" in done.text
    assert "Traceback" not in done.text
