"""The embedded Postgres as its users meet it: shared, killed, misplaced, as root and as an ordinary user."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from adbc_driver_postgresql import dbapi as adbc
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from app.storage.embedded import EmbeddedPostgres, bin_path
from app.storage.embedded_account import EmbeddedPostgresError
from app.storage.embedded_watch import PostgresWatch

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 20.0
USE_UNTIL_STDIN_CLOSES = """
import sys
from pathlib import Path
from app.storage.embedded import EmbeddedPostgres
from app.storage.embedded_account import EmbeddedPostgresError
try:
    with EmbeddedPostgres(Path(sys.argv[1])) as server:
        print(server.url, flush=True)
        sys.stdin.read()
except EmbeddedPostgresError as error:
    sys.exit(str(error))
"""

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="about running as root")


@pytest.fixture
def empty_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    if (pid := server_pid(tmp_path / "data")) is not None:
        os.kill(pid, signal.SIGINT)


@pytest.fixture(scope="module")
def used_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("used")
    with EmbeddedPostgres(path):
        return path


@pytest.fixture
def data_dir(empty_dir: Path, used_dir: Path) -> Path:
    """With a cluster in it: a copy is cheaper than a first start."""
    subprocess.run(["cp", "-a", used_dir, empty_dir], check=True)
    return empty_dir


def query(url: str, sql: str) -> str:
    command = [str(bin_path(18) / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def is_running(server: EmbeddedPostgres) -> bool:
    """A call, since mypy takes it that a property keeps its value."""
    return server.running


def server_pid(data_dir: Path) -> int | None:
    pid_file = data_dir / "postgres" / "postmaster.pid"
    return int(pid_file.read_text().split()[0]) if pid_file.exists() else None


def kill_server(data_dir: Path) -> int:
    pid = server_pid(data_dir)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


@contextmanager
def busy_backend(server: EmbeddedPostgres) -> Iterator[int]:
    """The pid of a backend that computes for seconds, and so does not notice that its postmaster is gone."""
    slow = "SELECT count(*) AS slow FROM generate_series(1, 8000000)"
    command = [str(bin_path(18) / "psql"), "-Xq", "-c", slow, server.url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        active = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) AS slow%'"
        wait_until(lambda: query(server.url, active) != "")
        yield int(query(server.url, active))


@contextmanager
def another_process(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that uses the server until the block ends."""
    command = [sys.executable, "-c", USE_UNTIL_STDIN_CLOSES, str(data_dir)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("postgresql://")
        yield process


def test_second_start_finds_the_data_of_the_first(empty_dir: Path) -> None:
    server = EmbeddedPostgres(empty_dir)
    url = server.start()
    assert is_running(server)
    query(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    assert not is_running(server)
    assert server_pid(empty_dir) is None

    with EmbeddedPostgres(empty_dir) as again:
        assert query(again.url, "SELECT answer FROM kept") == "42"


def test_url_suits_every_client(empty_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "9")
    odd = empty_dir / "a b+%:"
    sql = "SELECT current_database()::text"

    async def fetch(**arguments: str | int) -> str:
        connection = await asyncpg.connect(**arguments)
        try:
            return str(await connection.fetchval(sql))
        finally:
            await connection.close()

    with EmbeddedPostgres(odd) as server:
        assert query(server.url, sql) == "footfall"
        assert asyncio.run(fetch(dsn=server.url)) == "footfall"
        _, arguments = dialect().create_connect_args(make_url(server.url))  # type: ignore[no-untyped-call]
        assert asyncio.run(fetch(**arguments)) == "footfall"
        with adbc.connect(server.url) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            assert cursor.fetchone() == ("footfall",)


def test_settings_are_durable_and_can_be_overridden(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, settings={"max_connections": "7"}) as server:
        shown = query(
            server.url,
            "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN"
            " ('data_checksums', 'fsync', 'listen_addresses', 'max_connections', 'synchronous_commit')",
        )
    assert shown == "data_checksums=on fsync=on listen_addresses= max_connections=7 synchronous_commit=on"


def test_last_of_two_processes_stops_the_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        with another_process(data_dir):
            pass
        assert is_running(server)
        with another_process(data_dir):
            server.stop()
            assert not is_running(server)
            assert query(server.url, "SELECT 1") == "1"
    assert server_pid(data_dir) is None


def test_server_left_by_a_killed_process_is_adopted(data_dir: Path) -> None:
    with another_process(data_dir) as process:
        left = server_pid(data_dir)
        process.kill()
    assert server_pid(data_dir) == left

    with EmbeddedPostgres(data_dir) as server:
        assert server_pid(data_dir) == left
        assert query(server.url, "SELECT 1") == "1"
    assert server_pid(data_dir) is None


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        pid = server_pid(data_dir)
        assert pid is not None
        assert os.getsid(pid) == pid


def test_postgres_inherits_no_lock(data_dir: Path) -> None:
    if not Path("/proc").exists():
        pytest.skip("looks into /proc")
    with EmbeddedPostgres(data_dir):
        opened = {link.readlink().name for link in Path(f"/proc/{server_pid(data_dir)}/fd").iterdir()}
    assert "postgres.log" in opened
    assert opened.isdisjoint({"postgres.lock", "postgres.control.lock"})


def test_committed_rows_survive_a_killed_server(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    query(server.start(), "CREATE TABLE kept AS SELECT 42 AS answer")
    kill_server(data_dir)
    server.stop()

    with EmbeddedPostgres(data_dir) as again:
        assert query(again.url, "SELECT answer FROM kept") == "42"


def test_start_waits_for_the_backends_of_a_killed_server(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    server.start()
    with busy_backend(server):
        kill_server(data_dir)
        server.stop()
        assert query(server.start(), "SELECT 1") == "1"
        server.stop()


def test_watched_server_that_is_killed_comes_back_with_its_rows(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server, PostgresWatch(server) as watch:
        query(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        killed = kill_server(data_dir)
        wait_until(lambda: watch.restart_count == 1)
        assert server_pid(data_dir) != killed
        assert query(server.url, "SELECT answer FROM kept") == "42"
    assert server_pid(data_dir) is None


def test_watched_server_comes_back_after_the_backends_of_the_killed_one(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server, PostgresWatch(server) as watch, busy_backend(server):
        kill_server(data_dir)
        wait_until(lambda: watch.restart_count == 1)
        assert query(server.url, "SELECT 1") == "1"


def test_stop_does_not_wait_for_the_backends_of_a_killed_server(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    server.start()
    with busy_backend(server) as backend:
        os.kill(backend, signal.SIGSTOP)
        try:
            with PostgresWatch(server):
                killed = kill_server(data_dir)
                pid_file = data_dir / "postgres" / "postmaster.pid"
                wait_until(lambda: not pid_file.exists() or server_pid(data_dir) != killed)  # the watch is at it
                began = time.monotonic()
            server.stop()
            assert time.monotonic() - began < 5
        finally:
            os.kill(backend, signal.SIGCONT)


def test_watch_tries_again_until_the_server_can_start(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedPostgres(data_dir) as server, PostgresWatch(server) as watch:
        control, hidden = data_dir / "postgres" / "PG_VERSION", data_dir / "postgres" / "PG_VERSION.hidden"
        control.rename(hidden)
        kill_server(data_dir)
        wait_until(lambda: "postgres did not start again" in caplog.messages)
        hidden.rename(control)
        wait_until(lambda: watch.restart_count == 1)
        assert query(server.url, "SELECT 1") == "1"


@pytest.mark.parametrize("content", [f"{os.getppid()}\n", "", "nonsense\n"])
def test_stale_pid_file_does_not_hinder(data_dir: Path, content: str) -> None:
    EmbeddedPostgres(data_dir).start()
    kill_server(data_dir)
    (data_dir / "postgres" / "postmaster.pid").write_text(content)

    with EmbeddedPostgres(data_dir) as server:
        assert query(server.url, "SELECT 1") == "1"


def test_half_made_cluster_of_a_killed_first_start_is_replaced(empty_dir: Path) -> None:
    (empty_dir / "postgres.new.x1" / "base").mkdir(parents=True)
    with EmbeddedPostgres(empty_dir) as server:
        assert query(server.url, "SELECT 1") == "1"
    assert not list(empty_dir.glob("postgres.new*"))


def test_long_path_gets_a_short_private_socket_directory(empty_dir: Path) -> None:
    with EmbeddedPostgres(empty_dir / ("x" * 100) / ("y" * 100)) as server:
        socket_dir = Path(str(make_url(server.url).query["host"]))
        assert len(str(socket_dir)) < 60
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
        assert query(server.url, "SELECT 1") == "1"
    assert not socket_dir.exists()


@only_root
def test_socket_directory_made_by_somebody_else_is_refused(empty_dir: Path) -> None:
    long_dir = empty_dir / ("x" * 100)
    with EmbeddedPostgres(long_dir) as server:
        socket_dir = Path(str(make_url(server.url).query["host"]))
    socket_dir.mkdir(mode=0o700)
    try:
        with pytest.raises(EmbeddedPostgresError, match="is not a private directory of"):
            EmbeddedPostgres(long_dir).start()
    finally:
        socket_dir.rmdir()


def test_postgres_16_works_as_well_and_18_refuses_its_cluster(empty_dir: Path) -> None:
    with EmbeddedPostgres(empty_dir, major_version=16) as server:
        assert query(server.url, "SHOW server_version").startswith("16.")
    with pytest.raises(EmbeddedPostgresError, match="was made by Postgres 16, and this is Postgres 18"):
        EmbeddedPostgres(empty_dir).start()


def test_unknown_version_names_the_known_ones() -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"no embedded Postgres 12, only \[16, 18\]"):
        bin_path(12)


def test_unusable_directory_says_what_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedPostgresError, match=r"Not a directory.*choose another data directory"):
        EmbeddedPostgres(tmp_path / "file" / "data").start()


def test_wrong_setting_fails_at_once_with_the_log(data_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="unrecognized configuration parameter"):
        EmbeddedPostgres(data_dir, settings={"shared_bufers": "1GB"}).start()


@only_root
def test_root_opens_only_the_search_of_private_directories(empty_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    private = empty_dir / "private"
    private.mkdir(parents=True, mode=0o700)
    with EmbeddedPostgres(private / "data") as server:
        assert query(server.url, "SELECT 1") == "1"
        assert (private / "data" / "postgres").stat().st_uid != 0
    assert stat.S_IMODE(private.stat().st_mode) == 0o701
    [warning] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert str(private) in warning.__dict__["directories"]


def interpreter_for(account: pwd.struct_passwd) -> str:
    """The system's will do where this one lies in root's home: the module needs nothing but the wheel."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        command = [candidate, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        try:
            if subprocess.run(command, check=False, user=account.pw_uid, extra_groups=[]).returncode == 0:
                return candidate
        except OSError:
            continue
    pytest.skip(f"{account.pw_name} can run no Python of at least 3.11 here")


def run_as_ordinary_user(data_dir: Path, account: pwd.struct_passwd) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [interpreter_for(account), "-c", USE_UNTIL_STDIN_CLOSES, str(data_dir)],
        check=False,
        cwd="/",
        env={"PYTHONPATH": f"{REPOSITORY}:{sysconfig.get_path('purelib')}", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
    )


@pytest.fixture
def nobody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


@pytest.fixture
def home_of_nobody(nobody: pwd.struct_passwd) -> Iterator[Path]:
    """Outside tmp_path, which nobody but its owner can enter."""
    home = Path(tempfile.mkdtemp())
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    yield home
    shutil.rmtree(home)


@only_root
def test_ordinary_user_runs_it_and_root_may_use_the_same_data(home_of_nobody: Path, nobody: pwd.struct_passwd) -> None:
    data_dir = home_of_nobody / "data"
    for _ in range(2):
        done = run_as_ordinary_user(data_dir, nobody)
        assert (done.returncode, done.stderr) == (0, "")
        with EmbeddedPostgres(data_dir) as server:
            assert query(server.url, "SELECT 1") == "1"
    assert {path.stat().st_uid for path in data_dir.iterdir()} == {nobody.pw_uid}


@only_root
def test_ordinary_user_is_told_which_directory_to_make_writable(
    home_of_nobody: Path, nobody: pwd.struct_passwd
) -> None:
    home_of_nobody.chmod(0o500)
    done = run_as_ordinary_user(home_of_nobody / "data", nobody)
    assert done.returncode == 1
    assert f"{home_of_nobody}/data: Permission denied" in done.stderr
    assert "Make it writable for the OS user nobody" in done.stderr


@only_root
def test_ordinary_user_is_told_whose_data_it_is(home_of_nobody: Path, nobody: pwd.struct_passwd) -> None:
    home_of_nobody.chmod(0o711)
    with EmbeddedPostgres(home_of_nobody / "data") as server:
        owner = pwd.getpwuid((home_of_nobody / "data" / "postgres").stat().st_uid).pw_name
        if owner == "nobody":
            pytest.skip("there is no OS user postgres")
        done = run_as_ordinary_user(home_of_nobody / "data", nobody)
        assert is_running(server)
    assert f"It belongs to the OS user {owner}" in done.stderr
