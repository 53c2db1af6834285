"""Which OS user the embedded Postgres runs as, and the folders that this user and its clients must reach."""

from __future__ import annotations

import hashlib
import logging
import os
import pwd
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

logger = logging.getLogger(__name__)

PORT = 5432  # names the socket file only: nothing listens on TCP
SOCKET_PATH_MAX_BYTES = 103  # sockaddr_un holds 104 bytes on macOS and 108 on Linux, with the final NUL
SOCKET_FALLBACK = Path("/tmp")  # noqa: S108  # the same for all processes, whatever their TMPDIR; see _private_directory


class EmbeddedPostgresError(RuntimeError):
    """The embedded Postgres cannot run."""


class Account(NamedTuple):
    """The OS user that Postgres runs as."""

    uid: int
    gid: int


def postgres_account(cluster: Path) -> Account:
    """Our own; instead of root, which Postgres refuses, the cluster's owner, else `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    if cluster.exists():
        owner = cluster.stat()
        if owner.st_uid == 0:
            raise EmbeddedPostgresError(f"{cluster} belongs to root: give it to another user with chown -R.")
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            found = pwd.getpwnam(name)
            return Account(found.pw_uid, found.pw_gid)
    raise EmbeddedPostgresError("Postgres refuses to run as root: create an OS user named postgres.")


def grant_search(targets: Iterable[Path], account: Account) -> None:
    """Lets the account pass through (not read) every directory on the way to the targets."""
    opened = []
    for directory in sorted({parent for target in targets for parent in target.parents}):
        status = directory.stat()
        bit = stat.S_IXOTH
        if status.st_uid == account.uid:
            bit = stat.S_IXUSR
        elif status.st_gid == account.gid:
            bit = stat.S_IXGRP
        if not status.st_mode & bit:
            directory.chmod(stat.S_IMODE(status.st_mode) | bit)
            opened.append(str(directory))
    if opened:
        fields = {"action": "postgres_search_granted", "directories": opened, "uid": account.uid}
        logger.warning("directories made searchable for postgres", extra=fields)


def socket_directory(cluster: Path, account: Account) -> Path:
    """The cluster itself, which is private already, unless its path does not fit into a socket address."""
    address = str(cluster / f".s.PGSQL.{PORT}")
    if len(os.fsencode(address)) <= SOCKET_PATH_MAX_BYTES and not set(address) & set(',"'):
        return cluster
    digest = hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]
    return _private_directory(SOCKET_FALLBACK / f"footfall-{account.uid}-{digest}", account)


def _private_directory(path: Path, account: Account) -> Path:
    """Creates it for the account alone; one that somebody else made in the shared parent is refused."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(path, *account)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or stat.S_IMODE(found.st_mode) != 0o700:
        raise EmbeddedPostgresError(
            f"{path} is not a private directory of {name_of(account.uid)}: remove it, or choose a data "
            "directory with a shorter path."
        )
    return path


def name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
