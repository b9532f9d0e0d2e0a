"""Clients that are slow, stop midway, send too much or never read; and more logins than there is memory for. Against a real server."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from time import perf_counter

import httpx
import pytest

from tests import databases
from tests.assertions import DEADLINE, wait_until
from tests.concurrency.seat_races import describe_outcome
from tests.concurrency.workers import start_server
from tests.faults.peaks import peak_memory, probe, resident_memory
from tests.given import PASSWORD
from tests.servers import Running

TIMEOUT = 1.0
LATEST = 30.0
"""Seconds until the server must have disconnected a slow client: shorter than the keep-alive time, and than any of them sends."""
MIB = 1024 * 1024
LOGINS = 100
"""Concurrent; `ops/chaos` has two hundred, in a control group of that size."""
POST = b"POST /v1/licenses/validate HTTP/1.1\r\nHost: x\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def running(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("clients")
    url = databases.copy_template(sqlite_template, home / "clients.db")
    with start_server(home, url, LICENTIA_BODY_TIMEOUT=str(TIMEOUT), LICENTIA_HASH_SLOTS="2") as started:
        yield started


async def connect(running: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", running.port, limit=4 * MIB)


async def read_until_closed(reader: asyncio.StreamReader) -> tuple[float, bytes]:
    """Return (seconds until the server closed the connection, what it sent before)."""
    start = perf_counter()
    try:
        received = await asyncio.wait_for(reader.read(), DEADLINE)
    except ConnectionError:
        received = b""
    return perf_counter() - start, received


def status_and_code(response: bytes) -> tuple[int, str]:
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    return int(head.split()[1]), json.loads(body)["code"]


async def send_slowly(running: Running, at_once: bytes, slowly: bytes = b"") -> tuple[float, bytes]:
    """Send something, then ten bytes a second, until the server closes the connection. The seconds count from before the connect."""
    start = perf_counter()
    reader, writer = await connect(running)
    writer.write(at_once)
    sending = asyncio.create_task(send_bytewise(writer, slowly))
    try:
        _, received = await read_until_closed(reader)
        return perf_counter() - start, received
    finally:
        sending.cancel()
        writer.close()


async def send_bytewise(writer: asyncio.StreamWriter, data: bytes) -> None:
    for value in data:
        writer.write(bytes([value]))
        await asyncio.sleep(0.1)


async def test_a_slow_client_gets_a_408_or_is_disconnected(running: Running) -> None:
    """Concurrently: silence, half a head, a head byte by byte; a head without its body, and a body byte by byte."""
    with_length = POST + b"Content-Length: 400\r\n\r\n"
    silent, half, slow_head, no_body, slow_body = await asyncio.gather(
        send_slowly(running, b""),
        send_slowly(running, POST),
        send_slowly(running, POST, b"X-Slow: " + b"a" * 400),
        send_slowly(running, with_length),
        send_slowly(running, with_length, b"{" + b" " * 400),
    )
    for seconds, response in (silent, half, slow_head):
        assert seconds < LATEST
        assert response == b""
    for seconds, response in (no_body, slow_body):
        assert TIMEOUT * 0.9 < seconds < LATEST
        assert status_and_code(response) == (408, "body_too_slow")


async def test_a_second_head_has_a_deadline_too(running: Running) -> None:
    reader, writer = await connect(running)
    writer.write(HEALTH)
    await asyncio.wait_for(reader.readuntil(b"}\n"), DEADLINE)
    sending = asyncio.create_task(send_bytewise(writer, POST + b"X-Slow: " + b"a" * 400))
    seconds, response = await read_until_closed(reader)
    assert seconds < LATEST
    assert response == b""
    sending.cancel()
    writer.close()


async def test_an_idle_connection_is_kept_for_longer_than_a_head_may_take(running: Running) -> None:
    reader, writer = await connect(running)
    for _ in range(2):
        writer.write(HEALTH)
        assert (await asyncio.wait_for(reader.readuntil(b"}\n"), DEADLINE)).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(TIMEOUT * 1.5)
    writer.close()


async def test_a_head_without_end_is_refused(running: Running) -> None:
    reader, writer = await connect(running)
    writer.write(POST)
    sending = asyncio.create_task(send_headers_without_end(writer))
    assert status_and_code(await asyncio.wait_for(reader.readuntil(b"}\n"), LATEST)) == (431, "head_too_large")
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(sending, LATEST)
    writer.close()


async def send_headers_without_end(writer: asyncio.StreamWriter) -> None:
    for number in count():
        writer.write(b"X-%d: " % number + b"a" * 4096 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (POST + b"X-Long: " + b"a" * 66_000 + b"\r\n\r\n", (431, "head_too_large")),
        (POST + b"X-Long: " + b"a" * 240_000 + b"\r\n\r\n", (431, "head_too_large")),
        (b"GET /" + b"a" * 66_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (431, "head_too_large")),
        (POST + b"X-Many: a\r\n" * 9000 + b"\r\n", (431, "head_too_large")),
        (b"\x16\x03\x01 this is TLS", (400, "not_http")),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", (400, "not_http")),
        (POST + b"No colon\r\n\r\n", (400, "not_http")),
    ],
)
async def test_a_broken_head_is_answered_with_a_problem(running: Running, request_: bytes, expected: tuple[int, str]) -> None:
    reader, writer = await connect(running)
    writer.write(request_)
    seconds, response = await read_until_closed(reader)
    assert status_and_code(response) == expected
    assert seconds < LATEST
    writer.close()


async def test_a_head_just_below_the_limit_is_read(running: Running) -> None:
    reader, writer = await connect(running)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 65_000 + b"\r\nConnection: close\r\n\r\n")
    _, response = await read_until_closed(reader)
    assert response.startswith(b"HTTP/1.1 200 ")
    writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        HEALTH,
        POST + b"Content-Length: 67108864\r\n\r\n",  # answered before its body, of which nothing follows
        POST + b"Content-Length: 1048577\r\n\r\n" + b" " * 1048577,  # and of which all follows
    ],
)
async def test_empty_lines_after_a_response_keep_no_connection_open(running: Running, request_: bytes) -> None:
    """An empty line begins no request, but it stops uvicorn's timer of idle connections."""
    for empty_lines in (b"\r\n", b"\r\n" * 200):
        reader, writer = await connect(running)
        writer.write(request_)
        await asyncio.wait_for(reader.readuntil(b"}\n"), DEADLINE)
        sending = asyncio.create_task(send_bytewise(writer, empty_lines))
        seconds, response = await read_until_closed(reader)
        assert seconds < LATEST
        assert response == b""
        sending.cancel()
        writer.close()


async def test_pipelined_requests_are_not_answered(running: Running) -> None:
    """RFC 9112 section 9.3.2: the client sends them again over a new connection."""
    reader, writer = await connect(running)
    writer.write(HEALTH * 3)
    seconds, responses = await read_until_closed(reader)
    assert seconds < LATEST
    assert responses.count(b"HTTP/1.1 200 ") == 1
    assert responses.endswith(b"}\n")
    writer.close()


async def test_a_flood_of_pipelined_requests_is_disconnected(running: Running) -> None:
    """Ten MiB of requests in a connection that reads nothing: memory does not grow, and /healthz is answered meanwhile."""
    before = resident_memory(running.process.pid)
    with closing(socket.create_connection(("127.0.0.1", running.port))) as flood:
        flood.settimeout(DEADLINE)
        with pytest.raises(ConnectionError):
            flood.sendall(b"GET /x HTTP/1.1\r\n\r\n" * (10 * MIB // 19))
        assert (await asyncio.to_thread(probe, running.base, "/healthz")).status == 200
        assert resident_memory(running.process.pid) - before < 16


async def test_a_client_that_disconnects_with_pipelined_requests_causes_no_error(running: Running) -> None:
    body = json.dumps({"identifier": "nobody@example.com", "password": PASSWORD}).encode()
    for _ in range(3):
        _, writer = await connect(running)
        writer.write(b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) * 2)
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.transport.abort()
    await asyncio.sleep(0.5)
    log = running.log.read_text()
    assert "Traceback" not in log
    assert '"status": 500' not in log


async def test_a_broken_chunk_of_a_body_closes_the_connection(running: Running) -> None:
    reader, writer = await connect(running)
    writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    seconds, response = await read_until_closed(reader)
    assert seconds < LATEST
    assert response == b""
    writer.close()


async def read_connection_metrics(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[float, float]:
    """Return (open connections, refused connections) from /metrics, over this connection."""
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    text = (await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))).decode()
    names = ("licentia_client_connections", "licentia_connections_turned_away_total")
    clients, refused = (float(text.partition(f"\n{name} ")[2].split()[0]) for name in names)
    return clients, refused


@pytest.mark.slow
async def test_connections_beyond_the_descriptor_limit_are_refused(sqlite_template: Path, tmp_path: Path) -> None:
    """More connections are closed at once and logged; the open ones, the database and probes continue to work."""
    url = databases.copy_template(sqlite_template, tmp_path / "full.db")
    limited = start_server(tmp_path, url, LICENTIA_BODY_TIMEOUT="300")  # no connection ends by itself
    limited.command = ["sh", "-c", 'ulimit -n 128 && exec "$@"', "sh", *limited.command]
    with limited as started:
        first = await connect(started)
        others = [await connect(started) for _ in range(90)]
        reader, writer = first
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"}\n"), DEADLINE)).startswith(b"HTTP/1.1 200 ")
        async with asyncio.timeout(DEADLINE):
            while await read_connection_metrics(reader, writer) != (64.0, 27.0):  # noqa: ASYNC110  the kernel hands over all 91 one by one
                await asyncio.sleep(0.05)
        for _, other in [first, *others]:
            other.close()
    assert started.log.read_text().count("connections_full") == 1


async def test_an_empty_line_before_a_request_is_ignored(running: Running) -> None:
    """RFC 9112 section 2.2: some clients send one after a body."""
    reader, writer = await connect(running)
    for _ in range(3):
        writer.write(b"\r\n" + HEALTH)
        assert (await asyncio.wait_for(reader.readuntil(b"}\n"), DEADLINE)).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(TIMEOUT / 2)
    writer.close()


@pytest.mark.slow
async def test_a_body_of_64_mib_is_refused_early_and_not_stored(running: Running) -> None:
    """With Content-Length: before it is sent. Chunked: as soon as it is too long. The rest is discarded."""
    async with httpx.AsyncClient(base_url=running.base) as client:
        await client.get("/healthz")
    before = resident_memory(running.process.pid)
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    for opening, part in ((b"Content-Length: 67108864\r\n\r\n", b" " * 65536), (b"Transfer-Encoding: chunked\r\n\r\n", chunk)):
        reader, writer = await connect(running)
        writer.write(POST + opening)
        response = asyncio.create_task(reader.readuntil(b"}\n"))
        with suppress(ConnectionError):  # the server may stop reading after its response
            for _ in range(1024):
                writer.write(part)
                await writer.drain()
        assert status_and_code(await asyncio.wait_for(response, DEADLINE)) == (413, "body_too_large")
        writer.close()
    assert resident_memory(running.process.pid) - before < 16


@pytest.mark.slow
async def test_a_client_that_never_reads_is_disconnected(running: Running) -> None:
    """It requests one document after another, until the buffers of both kernels are full."""
    async with httpx.AsyncClient(base_url=running.base) as client:
        size = len((await client.get("/openapi.json")).content)
    with closing(socket.create_connection(("127.0.0.1", running.port))) as deaf:
        with suppress(ConnectionError):
            for _ in range(40):
                deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
                await asyncio.sleep(0.05)
        await wait_until(lambda: only_one_connection(running))
        deaf.settimeout(DEADLINE)
        assert await asyncio.to_thread(count_remaining_bytes, deaf) < 40 * size


async def only_one_connection(running: Running) -> bool:
    """Return whether the connection that asks is the only one of the server."""
    reader, writer = await connect(running)
    clients, _ = await read_connection_metrics(reader, writer)
    writer.close()
    return clients == 1


def count_remaining_bytes(connection: socket.socket) -> int:
    """Read until the end of the connection."""
    total = 0
    with suppress(ConnectionError):
        while data := connection.recv(MIB):
            total += len(data)
    return total


@pytest.mark.slow
async def test_too_many_concurrent_logins_stay_within_512_mib(running: Running) -> None:
    """Those within the hash slots are checked, the others get 503, and /healthz is answered all the time.

    Of unknown users, so that no account's own limit is reached first: the hash is the same. A busy machine may send the requests
    so slowly that none is refused; then they are sent again.
    """
    outcomes: Counter[str] = Counter()
    health: list[int] = []
    async with asyncio.timeout(DEADLINE):
        while not outcomes["503 busy"]:
            outcomes += await log_in_concurrently(running, health)
    assert outcomes.keys() == {"401 invalid_credentials", "503 busy"}
    assert set(health) == {200}
    assert peak_memory(running.process.pid) < 512


async def log_in_concurrently(running: Running, health: list[int]) -> Counter[str]:
    """Return the outcomes; `health` gets the status of /healthz, again and again until all logins have a response."""
    bodies = [{"identifier": f"nobody-{number}@example.com", "password": PASSWORD} for number in range(LOGINS)]
    async with httpx.AsyncClient(base_url=running.base, timeout=DEADLINE, limits=httpx.Limits(max_connections=None)) as client:
        logins = asyncio.gather(*(client.post("/v1/login", json=body) for body in bodies))
        while not logins.done():
            health.append((await asyncio.to_thread(probe, running.base, "/healthz")).status)
            await asyncio.sleep(0.02)
        responses = await logins
    assert all(int(response.headers["retry-after"]) >= 1 for response in responses if response.status_code == 503)
    return Counter(describe_outcome(response) for response in responses)
