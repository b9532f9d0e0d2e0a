"""Overload: logins in 512 MiB, hundreds of slow clients, and a full disk."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from ops.chaos.away import sound
from ops.chaos.cage import Cage, caged
from ops.chaos.report import Line
from ops.chaos.stage import Looks, Stage, folder, load_factor, on_postgres, on_sqlite, own_postgres, stage
from tests.concurrency.seat_races import describe_outcome
from tests.faults.peaks import peak_memory, read_response_times, resident_memory
from tests.given import PASSWORD

LOGINS, ROUNDS = 200, 4
MEMORY = 512
HALF_OPEN = 300
LARGE, PARTS = 16, 1024
BODY_TIMEOUT = 5
HEALTHY = 1.0
DISK = 3 * 1024 * 1024
TAKERS = 400


async def logins() -> AsyncIterator[Line]:
    """Two hundred concurrent logins of existing users, several times, in a control group of 512 MiB if one can be created."""
    with folder() as home, own_postgres() as database, caged(MEMORY) as cage:
        async with stage(home, await on_postgres(database), 1, before=cage.enter if cage else ()) as on:
            people = [await on.given.person() for _ in range(LOGINS)]
            bodies = [{"identifier": person.email, "password": PASSWORD} for person in people]
            responses: list[httpx.Response] = []
            async with Looks(on.servers[0].base) as looks:
                for _ in range(ROUNDS):
                    responses += await asyncio.gather(*(on.clients[0].post("/v1/login", json=body) for body in bodies))
            yield _logged_in(on, responses, looks, cage)


def _logged_in(on: Stage, responses: Sequence[httpx.Response], looks: Looks, cage: Cage | None) -> Line:
    outcomes = Counter(describe_outcome(response) for response in responses)
    assert outcomes.keys() <= {"200", "503 busy"}, outcomes
    assert all(int(response.headers["retry-after"]) >= 1 for response in responses if response.status_code == 503)
    assert looks.slowest < HEALTHY * load_factor(), looks.slowest
    running = on.servers[0]
    most = cage.most() if cage else peak_memory(running.process.pid)
    assert most < MEMORY, most
    note = f"{ROUNDS} times {LOGINS} at once, in {f'a control group of {MEMORY} MiB' if cage else 'no control group: resident'}"
    return Line(
        "logins",
        len(responses),
        outcomes["200"],
        outcomes["503 busy"],
        0,
        max(read_response_times(running.log)),
        None,
        looks.slowest,
        most,
        note,
    )


async def clients() -> AsyncIterator[Line]:
    """Half of a head, half of a body, 64 MiB: hundreds of the first two at once; afterwards the server is as before."""
    with folder() as home:
        async with stage(home, await on_sqlite(home), 1, LICENTIA_BODY_TIMEOUT=str(BODY_TIMEOUT)) as on:
            running = on.servers[0]
            before = resident_memory(running.process.pid)
            async with Looks(running.base) as looks:
                outcomes = await asyncio.gather(*(_half_open(running.port, number) for number in range(HALF_OPEN)))
            assert Counter(outcomes) == {"": HALF_OPEN // 2, "408": HALF_OPEN // 2}, Counter(outcomes)
            assert looks.slowest < HEALTHY * load_factor()
            grown = f"resident {before:.0f} MiB before, {resident_memory(running.process.pid):.0f} after"
            note = f"408 or cut off within {BODY_TIMEOUT} s; {grown}"
            yield Line(f"{HALF_OPEN} half-open heads and bodies", HALF_OPEN, HALF_OPEN, 0, 0, None, None, looks.slowest, None, note)
            before = peak_memory(running.process.pid)
            async with Looks(running.base) as looks:
                outcomes = await asyncio.gather(*(_large(running.port) for _ in range(LARGE)))
            assert Counter(outcomes) == {"413": LARGE}, Counter(outcomes)
            most = peak_memory(running.process.pid)
            assert most - before < 32, (before, most)
            note = f"413 each; at most {before:.0f} MiB before, {most:.0f} after"
            yield Line(f"{LARGE} bodies of 64 MiB at once", LARGE, LARGE, 0, 0, None, None, looks.slowest, most, note)


async def _half_open(port: int, number: int) -> str:
    """Return the status that the server sent before it closed the connection."""
    head = b"POST /v1/licenses/validate HTTP/1.1\r\nHost: x\r\n"
    return await _talk(port, head if number % 2 else head + b"Content-Length: 900\r\n\r\n{", b"", 0)


async def _large(port: int) -> str:
    """Send a large body without its length, to the end, whatever the server responds."""
    head = b"POST /v1/licenses/validate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return await _talk(port, head, b"10000\r\n" + b" " * 65536 + b"\r\n", PARTS)


async def _talk(port: int, opening: bytes, part: bytes, times: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(opening)
        for _ in range(times):
            writer.write(part)
            await writer.drain()
        line = await asyncio.wait_for(reader.readline(), 3 * BODY_TIMEOUT)
        return line.split()[1].decode() if line else ""
    except ConnectionError:
        return ""
    finally:
        writer.close()


async def disk() -> AsyncIterator[Line]:
    """SQLite on a file system of three megabytes: full, then with free space again."""
    with folder() as home, small(home) as mounted:
        if not mounted:
            yield Line("SQLite, disk full", 0, 0, 0, note="left out: only root may mount a small file system")
            return
        async with stage(home, await on_sqlite(home / "small"), 1) as on:
            license_ = await on.given.seats("unlimited")
            before = await _taken(on, license_["key"], "before")
            assert before.keys() == {"201", "503 unavailable"}, before
            await asyncio.to_thread(mount, f"remount,size={16 * DISK}", home / "small")
            after = await _taken(on, license_["key"], "after")
            assert after.keys() == {"201"}, after
            used = on.given.expect(await on.clients[0].get(f"/v1/licenses/{license_['id']}", headers=on.given.root))["seats"]["used"]
            assert used == before["201"] + after["201"], (used, before, after)
            slowest, done = max(read_response_times(on.servers[0].log)), before["201"] + after["201"]
        sound(home / "small" / "chaos.db")
        note = f"{before['201']} seats taken before it was full, all {used} there in the end"
        yield Line("SQLite, disk full", before.total() + after.total(), done, before["503 unavailable"], 0, slowest, note=note)


async def _taken(on: Stage, key: str, name: str) -> Counter[str]:
    bodies = [{"license_key": key, "device": {"fingerprint": f"{name}-{n}" + "x" * 400}} for n in range(TAKERS)]
    return Counter([describe_outcome(await on.clients[0].post("/v1/activations", json=body)) for body in bodies])


def mount(options: str, where: Path) -> bool:
    """Mount; return whether it worked."""
    command = ["/usr/bin/mount", "-t", "tmpfs", "-o", options, "chaos", str(where)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextmanager
def small(home: Path) -> Iterator[bool]:
    """`home/small` is a file system of DISK bytes; yields whether it could be created."""
    (home / "small").mkdir()
    mounted = mount(f"size={DISK}", home / "small")
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["/usr/bin/umount", "-l", str(home / "small")], check=True)
