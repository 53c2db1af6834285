"""Which errors mean that Postgres can't be used just now, said without the driver's words: these may hold addresses."""

import errno

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

LOST = "has ended the connection"
# What Postgres gives as the reason, by SQLSTATE or its class.
STATES = {
    "25006": "is read-only",
    "55P03": "took too long over a lock",
    "57014": "took too long",
    "08": LOST,
    "28": "refuses our role or password",
    "3D": "has no such database",
    "53": "has run out of connections, memory or disk",
    "57": "is stopping or starting",
}


# Of files, not of a connection.
OF_FILES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE})


def outage(error: BaseException) -> str | None:
    """What is the matter with Postgres, as a predicate; None when the error is of another kind."""
    match error:
        case TimeoutError() | PoolTimeoutError():
            return "does not answer"
        case OSError():
            return _of_connecting(error)
        case asyncpg.PostgresError():
            return _by_state(error.sqlstate)
        case asyncpg.InterfaceError() if not isinstance(error, ValueError):  # those are of values that don't fit
            return LOST
        case DBAPIError():
            return _by_state(getattr(error.orig, "sqlstate", None)) or (LOST if error.connection_invalidated else None)
    return None


def _of_connecting(error: OSError) -> str | None:
    if error.filename is not None or error.errno in OF_FILES:
        return None
    refused = isinstance(error, ConnectionRefusedError | FileNotFoundError)  # the latter: there is no socket
    return "refuses connections" if refused else "can't be reached"


def _by_state(state: str | None) -> str | None:
    return STATES.get(state or "") or STATES.get((state or "")[:2])
