"""Clients that drip: their connections are ended, and others do not notice them."""

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
ATTACKS = {
    "slow_head": ["-H", "-i", "1"],
    "slow_body": ["-B", "-i", "1", "-s", "8192", "-t", "POST", "-f", "application/json"],
    "slow_reader": ["-X", "-w", "8", "-y", "16", "-n", "5", "-z", "8", "-k", "10"],
}

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(shutil.which("slowhttptest") is None, reason="needs the Debian package slowhttptest"),
]


@pytest.mark.parametrize("reason", ATTACKS)
async def test_slow_clients_are_cut_off(prepared: Prepared, folder: Path, reason: str) -> None:
    data_dir = copy_of(prepared.data_dir, folder / "data")
    with running(System(data_dir, prepared.keys, header_timeout_seconds=3, request_timeout_seconds=5)) as system:
        async with Load(system, senders=2) as load:
            output = await attack(system, reason)
            await load.acknowledges(200)
        await load.check()
        assert set(load.statuses) == {200}, output
        assert system.metric("footfall_connections_cut_total", reason=reason) >= CONNECTIONS / 2, output


async def attack(system: System, reason: str) -> str:
    """What the tool says about it."""
    path = "/openapi.json" if reason == "slow_reader" else f"/v1/events?key={system.keys.write}"
    common = ["-c", str(CONNECTIONS), "-r", "200", "-l", str(SECONDS), "-p", "3", "-u", system.url + path]
    process = await asyncio.create_subprocess_exec(
        "slowhttptest", *ATTACKS[reason], *common, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return output.decode()
