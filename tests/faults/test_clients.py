"""Clients that dawdle, stop in the middle, send too much or never read; and more logins than there is memory for. Against a real server."""

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
from tests.concurrency.seat_races import describe_outcome
from tests.concurrency.workers import start_server
from tests.faults.peaks import look, peak, resident, strain
from tests.given import PASSWORD
from tests.servers import Running

TIME = 1.0
LATE = TIME + 1.5 * strain()
MIB = 1024 * 1024
LOGINS = 100
"""At once; `chaos/` has two hundred, in a control group of that size."""
HEAD = b"POST /v1/licenses/validate HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def running(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("clients")
    url = databases.copy_template(sqlite_template, home / "clients.db")
    with start_server(home, url, LICENTIA_BODY_TIMEOUT=str(TIME), LICENTIA_HASH_SLOTS="2") as started:
        yield started


async def opened(running: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", running.port, limit=4 * MIB)


async def until_closed(reader: asyncio.StreamReader) -> tuple[float, bytes]:
    """(seconds until the server hung up, what it said before)."""
    start = perf_counter()
    try:
        answer = await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        answer = b""
    return perf_counter() - start, answer


def told(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["code"]


async def dawdled(running: Running, at_once: bytes, slowly: bytes = b"") -> tuple[float, bytes]:
    """Send something, then octet by octet, ten of them a second, until the server hangs up."""
    reader, writer = await opened(running)
    writer.write(at_once)

    trickling = asyncio.create_task(trickled(writer, slowly))
    try:
        return await until_closed(reader)
    finally:
        trickling.cancel()
        writer.close()


async def trickled(writer: asyncio.StreamWriter, slowly: bytes) -> None:
    for octet in slowly:
        writer.write(bytes([octet]))
        await asyncio.sleep(0.1)


async def test_who_dawdles_is_told_so_or_cut_off(running: Running) -> None:
    """All at once: silence, half a head, a head octet by octet; a head without its body, and a body octet by octet."""
    length = HEAD + b"Content-Length: 400\r\n\r\n"
    silent, half, slow_head, no_body, slow_body = await asyncio.gather(
        dawdled(running, b""),
        dawdled(running, HEAD),
        dawdled(running, HEAD, b"X-Slow: " + b"a" * 400),
        dawdled(running, length),
        dawdled(running, length, b"{" + b" " * 400),
    )
    for seconds, answer in (silent, half, slow_head):
        assert seconds < LATE
        assert answer == b""
    for seconds, answer in (no_body, slow_body):
        assert TIME * 0.9 < seconds < LATE
        assert told(answer) == (408, "body_too_slow")


async def test_a_head_without_end_is_refused(running: Running) -> None:
    reader, writer = await opened(running)
    writer.write(HEAD)
    sending = asyncio.create_task(headers_for_ever(writer))
    assert told(await asyncio.wait_for(reader.readuntil(b"}\n"), LATE)) == (431, "head_too_large")
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(sending, LATE)
    writer.close()


async def headers_for_ever(writer: asyncio.StreamWriter) -> None:
    for n in count():
        writer.write(b"X-%d: " % n + b"a" * 4096 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (HEAD + b"X-Long: " + b"a" * 66_000 + b"\r\n\r\n", (431, "head_too_large")),
        (HEAD + b"X-Long: " + b"a" * 240_000 + b"\r\n\r\n", (431, "head_too_large")),
        (b"GET /" + b"a" * 66_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (431, "head_too_large")),
        (HEAD + b"X-Many: a\r\n" * 9000 + b"\r\n", (431, "head_too_large")),
        (b"\x16\x03\x01 this is TLS", (400, "not_http")),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", (400, "not_http")),
        (HEAD + b"No colon\r\n\r\n", (400, "not_http")),
    ],
)
async def test_what_cannot_be_read_is_told_so(running: Running, sent: bytes, answer: tuple[int, str]) -> None:
    reader, writer = await opened(running)
    writer.write(sent)
    seconds, said_ = await until_closed(reader)
    assert told(said_) == answer
    assert seconds < TIME * 0.9
    writer.close()


async def test_a_head_that_just_fits_is_read(running: Running) -> None:
    reader, writer = await opened(running)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 65_000 + b"\r\nConnection: close\r\n\r\n")
    _, answer = await until_closed(reader)
    assert answer.startswith(b"HTTP/1.1 200 ")
    writer.close()


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Content-Length: 67108864\r\n\r\n",  # answered before its body, of which nothing comes
        HEAD + b"Content-Length: 1048577\r\n\r\n" + b" " * 1048577,  # and of which all comes, afterwards
    ],
)
async def test_line_ends_after_an_answer_keep_no_connection(running: Running, begun: bytes) -> None:
    """A line end begins no request, but it stops uvicorn's own clock for idle connections; one is enough, and many are no more."""
    for line_ends in (b"\r\n", b"\r\n" * 200):
        reader, writer = await opened(running)
        writer.write(begun)
        await asyncio.wait_for(reader.readuntil(b"}\n"), 5)
        trickling = asyncio.create_task(trickled(writer, line_ends))
        seconds, answer = await until_closed(reader)
        assert seconds < LATE
        assert answer == b""
        trickling.cancel()
        writer.close()


async def test_requests_that_are_sent_ahead_are_answered_in_turn(running: Running) -> None:
    """Each with its own answer, in order, bodies too; however they are cut."""
    told_ = json.dumps({"identifier": "nobody", "password": ""}).encode()
    post = b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(told_), told_)
    asked = (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + post + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n") * 100
    reader, writer = await opened(running)
    for at in range(0, len(asked), 1000):
        writer.write(asked[at : at + 1000])
        await asyncio.sleep(0)
    statuses = []
    for _ in range(300):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        statuses.append(int(head.split()[1]))
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
    assert statuses == [200, 422, 404] * 100
    writer.close()


async def test_requests_without_end_are_not_all_kept(running: Running) -> None:
    """Ten MiB of them in one connection that reads nothing, and /healthz has its answer meanwhile."""
    before = resident(running.process.pid)
    with closing(socket.create_connection(("127.0.0.1", running.port))) as flood:
        flood.settimeout(0.2)
        with suppress(TimeoutError, ConnectionError):
            flood.sendall(b"GET /x HTTP/1.1\r\n\r\n" * (10 * MIB // 19))
        looked = await asyncio.to_thread(look, running.base, "/healthz")
        assert looked.seconds < 1.0 * strain()
        assert resident(running.process.pid) - before < 16


async def test_who_sends_ahead_and_leaves_is_no_error_of_ours(running: Running) -> None:
    body = json.dumps({"identifier": "nobody@example.com", "password": PASSWORD}).encode()
    for _ in range(3):
        _, writer = await opened(running)
        writer.write(b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) * 2)
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.transport.abort()
    await asyncio.sleep(0.5)
    log = running.log.read_text()
    assert "Traceback" not in log
    assert '"status": 500' not in log


async def test_a_body_that_is_no_http_is_told_so(running: Running) -> None:
    reader, writer = await opened(running)
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    _, answer = await until_closed(reader)
    assert told(answer) == (400, "not_http")
    writer.close()


async def figures(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[float, float]:
    """(connections of clients, those that were turned away), as /metrics tells within this connection."""
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    told_ = (await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))).decode()
    names = ("licentia_client_connections", "licentia_connections_turned_away_total")
    open_, away = (float(told_.partition(f"\n{name} ")[2].split()[0]) for name in names)
    return open_, away


async def test_as_many_clients_as_there_are_descriptors_for(sqlite_template: Path, tmp_path: Path) -> None:
    """More are turned away at once and in the log; those inside, the database and the probes of those inside go on."""
    url = databases.copy_template(sqlite_template, tmp_path / "full.db")
    narrow = start_server(tmp_path, url)
    narrow.command = ["sh", "-c", 'ulimit -n 128 && exec "$@"', "sh", *narrow.command]
    with narrow as started:
        inside = await opened(started)
        others = [await opened(started) for _ in range(90)]
        reader, writer = inside
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"}\n"), 5)).startswith(b"HTTP/1.1 200 ")
        async with asyncio.timeout(10):
            while await figures(reader, writer) != (64.0, 27.0):  # noqa: ASYNC110  91 came; the kernel hands them over one by one
                await asyncio.sleep(0.05)
        for _, other in [inside, *others]:
            other.close()
    assert started.log.read_text().count("connections_full") == 1


async def test_a_line_end_before_a_request_is_overlooked(running: Running) -> None:
    """RFC 9112 section 2.2: some clients send one behind a body."""
    reader, writer = await opened(running)
    ask = b"\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    for _ in range(3):
        writer.write(ask)
        assert (await asyncio.wait_for(reader.readuntil(b"}\n"), 5)).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(TIME / 2)
    writer.close()


async def test_64_mib_are_refused_early_and_kept_nowhere(running: Running) -> None:
    """With its length: before it is sent. Without: as soon as it is too long. What still comes is thrown away, and not waited for."""
    async with httpx.AsyncClient(base_url=running.base) as client:
        await client.get("/healthz")
    before = resident(running.process.pid)
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    for opening, part in ((b"Content-Length: 67108864\r\n\r\n", b" " * 65536), (b"Transfer-Encoding: chunked\r\n\r\n", chunk)):
        reader, writer = await opened(running)
        writer.write(HEAD + opening)
        answer = asyncio.create_task(reader.readuntil(b"}\n"))
        for _ in range(1024):
            writer.write(part)
            await writer.drain()
        assert told(await asyncio.wait_for(answer, 5)) == (413, "body_too_large")
        writer.close()
    assert resident(running.process.pid) - before < 16


async def test_who_reads_nothing_is_cut_off(running: Running) -> None:
    """Documents are asked for and none is read: more than the kernel keeps for us."""
    async with httpx.AsyncClient(base_url=running.base) as client:
        whole = len((await client.get("/openapi.json")).content)
    with closing(socket.create_connection(("127.0.0.1", running.port))) as deaf:
        deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 40)
        await asyncio.sleep(LATE)
        deaf.settimeout(5)
        assert await asyncio.to_thread(left, deaf) < 40 * whole


def left(deaf: socket.socket) -> int:
    """How much still comes until the end."""
    read = 0
    with suppress(ConnectionError):
        while piece := deaf.recv(MIB):
            read += len(piece)
    return read


async def test_logins_beyond_all_room_stay_within_512_mib(running: Running) -> None:
    """Those that there is room for are judged, the others told to come again, and /healthz answers all the while. Of nobody we know, so
    that no account's own limit speaks first: it is the same hash."""
    waits: list[float] = []
    bodies = [{"identifier": f"nobody-{n}@example.com", "password": PASSWORD} for n in range(LOGINS)]
    async with httpx.AsyncClient(base_url=running.base, timeout=60, limits=httpx.Limits(max_connections=None)) as client:
        asked = asyncio.gather(*(client.post("/v1/login", json=body) for body in bodies))
        while not asked.done():
            waits.append((await asyncio.to_thread(look, running.base, "/healthz")).seconds)
            await asyncio.sleep(0.02)
        answers = await asked
    assert Counter(describe_outcome(answer) for answer in answers).keys() == {"401 invalid_credentials", "503 busy"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code == 503)
    assert max(waits) < 1.0 * strain()
    assert peak(running.process.pid) < 512
