"""Hundreds of clients that drip: others do not notice them, and those that hold something up are cut off."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.faults.conftest import Prepared
from tests.faults.load import Load
from tests.faults.system import System, copy_of, running

CONNECTIONS = 200
SECONDS = 15

# By the reason under which the service counts what it has cut.
DRIPPING = {
    "slow_head": ["-H", "-i", "1"],
    "slow_body": ["-B", "-i", "1", "-s", "8192", "-t", "POST", "-f", "application/json"],
}
# The replies fit into the kernel's buffers, so nothing of ours waits for these clients.
SLOW_READERS = ["-X", "-w", "8", "-y", "16", "-n", "5", "-z", "8", "-k", "10"]

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(shutil.which("slowhttptest") is None, reason="needs the Debian package slowhttptest"),
]


@pytest.mark.parametrize("reason", DRIPPING)
async def test_dripping_clients_are_cut_off(prepared: Prepared, folder: Path, reason: str) -> None:
    data_dir = copy_of(prepared.data_dir, folder / "data")
    with running(System(data_dir, prepared.keys, header_timeout_seconds=3, request_timeout_seconds=5)) as system:
        await nobody_notices(system, DRIPPING[reason], f"/v1/events?key={system.keys.write}")
        assert system.metric("footfall_connections_cut_total", reason=reason) >= CONNECTIONS / 2


async def test_slow_readers_disturb_nobody(system: System) -> None:
    await nobody_notices(system, SLOW_READERS, "/openapi.json")


async def nobody_notices(system: System, attack: list[str], path: str) -> None:
    common = ["-c", str(CONNECTIONS), "-r", "200", "-l", str(SECONDS), "-p", "3", "-u", system.url + path]
    async with Load(system, senders=2) as load:
        process = await asyncio.create_subprocess_exec(
            "slowhttptest", *attack, *common, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        await load.acknowledges(200)
    await load.check()
    assert set(load.statuses) == {200}
