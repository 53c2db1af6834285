"""The checks behind /readyz, each with a plain answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from app.mirror.follow import Mirror
from app.storage.database import current_revision, newest_revision

CHECK_TIMEOUT_SECONDS = 3.0


class CheckResult(NamedTuple):
    ok: bool
    detail: str


@dataclass(frozen=True)
class Check:
    name: str
    run: Callable[[], Awaitable[CheckResult]]


async def run_check(check: Check) -> CheckResult:
    """Never raises and never hangs: what goes wrong is the result."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            return await check.run()
    except Exception as error:  # noqa: BLE001  # a check reports whatever happens to it; messages of drivers may hold addresses
        return CheckResult(False, f"failed: {type(error).__name__}")


def database_checks(engine: AsyncEngine) -> list[Check]:
    async def postgres() -> CheckResult:
        async with engine.connect() as connection:
            version = connection.dialect.server_version_info or ()
        return CheckResult(True, f"Postgres {'.'.join(map(str, version))}")

    async def migrations() -> CheckResult:
        current, newest = await current_revision(engine), newest_revision()
        if current == newest:
            return CheckResult(True, f"at {current}")
        return CheckResult(False, f"database is at {current}, this version needs {newest}: run `footfall migrate`")

    return [Check("postgres", postgres), Check("migrations", migrations)]


def mirror_check(mirror: Mirror, lag_max_seconds: float) -> Check:
    async def lag() -> CheckResult:
        if mirror.trouble is not None:
            return CheckResult(False, mirror.trouble)
        if mirror.progress is None:
            return CheckResult(False, "is being built")
        seconds = mirror.lag_seconds()
        return CheckResult(seconds <= lag_max_seconds, f"{seconds:.1f} s behind")

    return Check("mirror", lag)


def flag_check(name: str, is_ok: Callable[[], bool], detail: str) -> Check:
    async def flag() -> CheckResult:
        return CheckResult(True, "ok") if is_ok() else CheckResult(False, detail)

    return Check(name, flag)
