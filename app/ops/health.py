"""The checks behind /readyz, each with a plain answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.outage import outage
from app.storage.database import current_revision, is_behind, newest_revision
from app.storage.partitions import months_ahead

if TYPE_CHECKING:  # DuckDB and Arrow take 100 MB, which a collector has no use for
    from app.mirror.follow import Mirror

ANSWER_SECONDS = 0.8  # probes often give up after 1 s
LOOK_SECONDS = 3.0
# What can't be well while Postgres is away; events go to the spool meanwhile.
NEED_POSTGRES = frozenset({"postgres", "migrations", "partitions", "mirror"})


class CheckResult(NamedTuple):
    ok: bool
    detail: str


SILENT = CheckResult(False, "does not answer")


@dataclass
class Check:
    name: str
    run: Callable[[], Awaitable[CheckResult]]
    _look: "asyncio.Task[CheckResult] | None" = field(default=None, init=False)

    async def result(self) -> CheckResult:
        """Never raises and never hangs: what goes wrong is the result.

        A look that takes longer goes on, and whoever asks meanwhile waits for the same one: giving up a connection to
        a server that hangs takes seconds.
        """
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(_look(self.run), name=f"check {self.name}")
        await asyncio.wait({self._look}, timeout=ANSWER_SECONDS)
        return self._look.result() if self._look.done() else SILENT


async def _look(run: Callable[[], Awaitable[CheckResult]]) -> CheckResult:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await run()
    except Exception as error:  # noqa: BLE001  # a check reports whatever happens to it; messages of drivers may hold addresses
        return CheckResult(False, outage(error) or f"failed: {type(error).__name__}")


def status_of(results: Mapping[str, CheckResult]) -> str:
    """ready, degraded or not ready.

    Degraded: without Postgres, but the spool takes events; or the other way round. All processes share one Postgres: if
    they were not ready, a load balancer would refuse what each of them could keep. Reports answer 503 by themselves.
    """
    failed = {name for name, result in results.items() if not result.ok}
    if not failed:
        return "ready"
    postgres_away = "postgres" in failed or SILENT in results.values()
    bearable = NEED_POSTGRES if postgres_away and "spool" in results else {"spool"}
    return "degraded" if failed <= bearable else "not ready"


def database_checks(engine: AsyncEngine, clock: Clock) -> list[Check]:
    async def postgres() -> CheckResult:
        async with engine.connect() as connection:
            version = connection.dialect.server_version_info or ()
        return CheckResult(True, f"Postgres {'.'.join(map(str, version))}")

    async def migrations() -> CheckResult:
        current = await current_revision(engine)
        if not is_behind(current):
            return CheckResult(True, f"at {current}")
        needed = newest_revision()
        return CheckResult(False, f"database is at {current}, this version needs {needed}: run `footfall migrate`")

    async def partitions() -> CheckResult:
        """Well without any: what has no month is stored all the same."""
        return CheckResult(True, f"{await months_ahead(engine, clock.now())} months ahead")

    return [Check("postgres", postgres), Check("migrations", migrations), Check("partitions", partitions)]


def mirror_check(mirror: "Mirror", lag_max_seconds: float) -> Check:
    async def lag() -> CheckResult:
        if mirror.trouble is not None:
            return CheckResult(False, mirror.trouble)
        if mirror.progress is None:
            return CheckResult(False, "is being built")
        seconds = mirror.lag_seconds()
        return CheckResult(seconds <= lag_max_seconds, f"{seconds:.1f} s behind")

    return Check("mirror", lag)


def state_check(name: str, state: Callable[[], tuple[bool, str]]) -> Check:
    """state: whether it is well, and what there is to say."""

    async def look() -> CheckResult:
        return CheckResult(*state())

    return Check(name, look)


def flag_check(name: str, is_ok: Callable[[], bool], detail: str) -> Check:
    async def flag() -> CheckResult:
        return CheckResult(True, "ok") if is_ok() else CheckResult(False, detail)

    return Check(name, flag)
