"""Clients that are slow, endless or too many, over real sockets: each is cut off in time, and the others are served."""

import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import httpx
import pytest

from app.storage.database import DatabaseUrl
from tests.conftest import new_database
from tests.events import many
from tests.integration.serving import Serving, footfall_json, serving

TIMEOUT_SECONDS = 1.0  # of the service, for a head and for a body
LATE_SECONDS = 4.0  # by then it has surely cut a client off: it looks twice a second
CONNECTIONS_MAX = 20
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: footfall.test\r\n\r\n"
MEMORY_BYTES = 100_000_000  # far more than one request may take, far less than what is sent here


@pytest.fixture(scope="module")
def service(postgres: DatabaseUrl, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with (
        new_database(postgres, template) as url,
        serving(
            tmp_path_factory.mktemp("service"),
            database_url=url.libpq,
            header_timeout_seconds=str(TIMEOUT_SECONDS),
            request_timeout_seconds=str(TIMEOUT_SECONDS),
            connections_max=str(CONNECTIONS_MAX),
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def key(service: Serving) -> str:
    shop = footfall_json(service.environment, "storefront", "create", "Shop")
    made = footfall_json(service.environment, "keys", "create", str(shop["storefront_id"]), "--kind", "write")
    return str(made["key"])


class Client:
    """One connection, by hand."""

    def __init__(self, service: Serving, *, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(LATE_SECONDS)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect(("127.0.0.1", httpx.URL(service.url).port or 0))
        self.opened_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def is_alive(self) -> bool:
        """Asks for /livez and reads the reply."""
        self.send(LIVEZ)
        answer = b""
        while not answer.endswith(b'{"status":"alive"}'):
            answer += self.socket.recv(65_536)
        return status(answer) == 200

    def drip(self, data: bytes) -> bytes:
        """Sends byte by byte until there is an answer, and returns that."""
        self.socket.settimeout(0.05)
        for byte in data:
            self.send(bytes([byte]))
            try:
                return self.socket.recv(65_536)
            except TimeoutError:
                continue
        raise AssertionError("it was never cut off")

    def answer(self) -> bytes:
        """All there is until the service hangs up, or has nothing more to say for a while."""
        answer = b""
        try:
            while chunk := self.socket.recv(65_536):
                answer += chunk
        except (TimeoutError, ConnectionResetError):
            pass
        return answer

    def is_cut_off_while_sending(self, data: bytes) -> bool:
        """Sends it again and again, and reads nothing."""
        give_up_at = time.monotonic() + 5 * LATE_SECONDS
        while time.monotonic() < give_up_at:
            try:
                self.send(data)
            except TimeoutError:  # the service has stopped reading
                continue
            except ConnectionError:
                return True
        return False

    def hung_up_on(self) -> bool:
        """Whether nothing more can come."""
        try:
            while self.socket.recv(65_536):
                pass
        except TimeoutError:
            return False
        except ConnectionResetError:
            pass
        return True


def head(key: str, *headers: str, path: str = "/v1/events") -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: footfall.test", f"Authorization: Bearer {key}", *headers, "", "")
    return "\r\n".join(lines).encode()


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer[9:12])


def is_served(service: Serving, key: str) -> bool:
    """Whether somebody else gets an answer at once."""
    headers = {"Authorization": f"Bearer {key}"}
    reply = httpx.post(f"{service.url}/v1/events", json=many(2), headers=headers, timeout=2, trust_env=False)
    return reply.status_code == httpx.codes.OK


def memory_bytes(service: Serving) -> int:
    """The most it has ever used."""
    for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def cut_count(service: Serving, reason: str) -> float:
    lines = httpx.get(f"{service.url}/metrics", trust_env=False).text.splitlines()
    name = f'footfall_connections_cut_total{{reason="{reason}"}} '
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")


def test_a_head_that_drips_is_408(service: Serving, key: str) -> None:
    before = cut_count(service, "slow_head")
    with Client(service) as client:
        answer = client.drip(head(key))

        assert status(answer) == 408
        assert b"connection: close" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "urn:footfall:problem:request-timeout"
        assert TIMEOUT_SECONDS <= time.monotonic() - client.opened_at < LATE_SECONDS
        assert client.hung_up_on()
    assert cut_count(service, "slow_head") == before + 1


def test_a_second_head_that_drips_is_408_too(service: Serving, key: str) -> None:
    with Client(service) as client:
        assert client.is_alive()

        assert status(client.drip(head(key))) == 408


def test_empty_lines_before_a_head_do_not_keep_a_connection_open(service: Serving) -> None:
    with Client(service) as client:
        assert client.is_alive()

        assert status(client.drip(b"\r\n" * 500)) == 408


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(service: Serving) -> None:
    with Client(service) as client:
        assert client.hung_up_on()


def test_a_connection_between_two_requests_stays_open(service: Serving) -> None:
    with Client(service) as idle, Client(service) as silent:
        assert idle.is_alive()
        assert silent.hung_up_on()  # so would the other one have been, were it late

        assert idle.is_alive()


@pytest.mark.parametrize("path", ["/v1/events", "/v1/reports/funnel"])
def test_a_body_that_drips_is_408_on_every_route(service: Serving, key: str, path: str) -> None:
    with Client(service) as client:
        client.send(head(key, "Content-Length: 5000", path=path))
        answer = client.drip(b" " * 4_999)

        assert status(answer) == 408
        assert client.hung_up_on()
    assert is_served(service, key)


def test_a_body_shorter_than_announced_is_408(service: Serving, key: str) -> None:
    with Client(service) as client:
        client.send(head(key, "Content-Length: 100") + b"[]")

        assert status(client.answer()) == 408


def test_bytes_beyond_the_announced_length_are_no_part_of_the_body(service: Serving, key: str) -> None:
    body = json.dumps(many(1)).encode()
    with Client(service) as client:
        client.send(head(key, f"Content-Length: {len(body)}") + body + b'{"event": "smuggled"}')
        answer = client.answer()

    assert status(answer) == 200  # to what was whole; nothing can be understood after that
    assert b"connection: close" in answer
    assert answer.endswith(b'{"received":1,"stored":1,"duplicates":0}')


def test_a_second_head_without_end_waits_for_the_first_reply(service: Serving, key: str) -> None:
    body = json.dumps(many(1)).encode()
    with Client(service) as client:
        client.send(head(key, f"Content-Length: {len(body)}") + body)
        assert client.is_cut_off_while_sending(b"GET /livez HTTP/1.1\r\nX: " + b"x" * 100_000)
    assert is_served(service, key)


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: -1",),
        ("Content-Length: 2x",),
    ],
)
def test_lengths_that_contradict_each_other_are_400(service: Serving, key: str, headers: tuple[str, ...]) -> None:
    with Client(service) as client:
        client.send(head(key, *headers) + b"[]")

        assert status(client.answer()) == 400


def test_a_body_announced_as_too_large_is_413_before_it_is_sent(service: Serving, key: str) -> None:
    with Client(service) as client:
        client.send(head(key, f"Content-Length: {1 << 30}"))

        assert status(client.socket.recv(65_536)) == 413
        assert client.hung_up_on()


def test_who_asks_before_sending_is_told_no(service: Serving, key: str) -> None:
    with Client(service) as client:
        client.send(head(key, f"Content-Length: {1 << 30}", "Expect: 100-continue"))

        assert status(client.socket.recv(65_536)) == 413


@needs_proc
def test_a_chunked_body_of_a_gigabyte_is_413_and_not_kept(service: Serving, key: str) -> None:
    chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    before = memory_bytes(service)
    with Client(service) as client:
        client.send(head(key, "Transfer-Encoding: chunked"))
        assert client.is_cut_off_while_sending(chunk)

    assert memory_bytes(service) - before < MEMORY_BYTES
    assert is_served(service, key)


@needs_proc
def test_a_gzip_bomb_is_413_and_never_unpacked(service: Serving, key: str) -> None:
    bomb = gzip.compress(bytes(1 << 29), compresslevel=1)
    assert len(bomb) < 4 << 20
    before = memory_bytes(service)

    reply = httpx.post(
        f"{service.url}/v1/events",
        content=bomb,
        headers={"Authorization": f"Bearer {key}", "Content-Encoding": "gzip"},
        trust_env=False,
    )

    assert reply.status_code == 413
    assert memory_bytes(service) - before < MEMORY_BYTES


def test_too_many_headers_are_431(service: Serving, key: str) -> None:
    with Client(service) as client:
        client.send(head(key, *(f"X-{number}: x" for number in range(200))))

        assert status(client.answer()) == 431


def test_too_many_headers_behind_requests_that_wait_are_counted_as_such(service: Serving, key: str) -> None:
    before = cut_count(service, "head_too_large"), cut_count(service, "pipeline")
    with Client(service) as client:
        client.send(LIVEZ * 3 + head(key, *(f"X-{number}: x" for number in range(200))))
        assert status(client.answer()) == 200
    assert (cut_count(service, "head_too_large"), cut_count(service, "pipeline")) == (before[0] + 1, before[1])


def test_headers_without_end_are_431(service: Serving) -> None:
    before = cut_count(service, "head_too_large")
    with Client(service) as client:
        client.send(b"GET /livez HTTP/1.1\r\nHost: ")
        assert client.is_cut_off_while_sending(b"x" * 10_000)
    assert cut_count(service, "head_too_large") == before + 1


def test_a_client_that_does_not_read_its_replies_is_cut_off(service: Serving, key: str) -> None:
    before = cut_count(service, "slow_reader")
    body = f"[{','.join(['1'] * 1_000)}]".encode()  # small, and the reply says a thousand times what is wrong
    with Client(service, receive_bytes=4_096) as client:
        give_up_at = time.monotonic() + 5 * LATE_SECONDS
        client.send((head(key, f"Content-Length: {len(body)}") + body) * 60)
        while cut_count(service, "slow_reader") == before:
            assert time.monotonic() < give_up_at
            time.sleep(0.1)


def test_requests_without_end_that_wait_for_no_reply_are_cut_off(service: Serving) -> None:
    before = cut_count(service, "pipeline")
    with Client(service) as client:
        assert client.is_cut_off_while_sending(LIVEZ * 100)
    assert cut_count(service, "pipeline") == before + 1


def test_connections_above_the_limit_are_503_and_those_below_are_served(service: Serving, key: str) -> None:
    before = cut_count(service, "too_many")
    with ExitStack() as stack:
        held = [stack.enter_context(Client(service)) for _ in range(CONNECTIONS_MAX)]
        with Client(service) as client:
            client.send(head(key, "Content-Length: 2") + b"[]")
            answer = client.answer()

        assert status(answer) == 503
        assert b"retry-after: " in answer
        assert held[0].is_alive()
    assert cut_count(service, "too_many") > before
    assert is_served(service, key)


def test_many_dripping_clients_do_not_slow_the_others_down(service: Serving, key: str) -> None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS_MAX // 2):
            client = stack.enter_context(Client(service))
            client.send(head(key, "Content-Length: 5000") + b"[")

        assert is_served(service, key)
