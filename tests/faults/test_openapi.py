"""Requests made up from the OpenAPI document: no fault of ours, and every reply is one that the document names."""

import asyncio
import importlib.util
import sys

import pytest

from tests.faults.system import System

SECONDS = 40  # for each kind of key
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="needs the package schemathesis"),
]


@pytest.mark.timeout(3 * SECONDS)
@pytest.mark.parametrize("kind", ["server", "admin"])
async def test_replies_are_as_declared(system: System, kind: str) -> None:
    key = getattr(system.keys, kind)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "run", f"{system.url}/openapi.json", "--no-color"),
        *("--checks", CHECKS, "--header", f"Authorization: Bearer {key}", "--max-time", str(SECONDS)),
        *("--request-timeout", str(SECONDS)),  # the first report waits for the compiler
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
