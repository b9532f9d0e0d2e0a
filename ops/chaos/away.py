"""Databases that restart, crash or freeze, and servers that are killed, in the middle of a burst."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from sqlite3 import connect
from time import perf_counter

from sqlalchemy import update

from app.licenses.models import License
from ops.chaos.report import Line
from ops.chaos.stage import Looks, Stage, folder, load_factor, on_postgres, on_sqlite, own_postgres, stage
from tests.faults.bursts import Burst, Scene, Size
from tests.faults.peaks import read_response_times
from tests.postgres import Server

SIZE = Size().times(5)
AFTER = 120
FROZEN = 10.0
KILLS = 3
BACK = 3600.0
READY = 2.0
HEALTHY = 1.0
BOUND = 25.0
"""Seconds that a frozen database may cost one call: a connection of the pool 5, to connect 3, a statement 11; and a busy machine."""


async def restarts() -> AsyncIterator[Line]:
    with folder() as home, own_postgres() as database:
        async with stage(home, await on_postgres(database), 2) as on:
            yield await _burst(on, "PostgreSQL restarts", partial(_again, database, signal.SIGINT))
            yield await _burst(on, "PostgreSQL crashes, and recovers", partial(_again, database, signal.SIGQUIT))


async def freezes() -> AsyncIterator[Line]:
    with folder() as home, own_postgres() as database:
        async with stage(home, await on_postgres(database), 2) as on, Looks(on.servers[0].base, "/readyz") as ready:
            yield await _burst(on, f"PostgreSQL frozen for {FROZEN:.0f} s", partial(_frozen, database), bound=BOUND)
            frozen = [look for look in ready.seen if look.status == 503]
            assert frozen, "nobody saw it"
            assert ready.slowest < READY * load_factor(), ready.slowest
            yield Line("  /readyz meanwhile", len(ready.seen), len(ready.seen) - len(frozen), len(frozen), 0, ready.slowest)


async def kills() -> AsyncIterator[Line]:
    with folder() as home, own_postgres() as database:
        async with stage(home, await on_postgres(database), 2) as on:
            for turn in range(KILLS):
                yield await _burst(on, f"two servers killed -9, PostgreSQL, {turn + 1}", partial(_killed, on), healthy=None)
    with folder() as home:
        async with stage(home, await on_sqlite(home), 2) as on:
            for turn in range(KILLS):
                yield await _burst(on, f"two servers killed -9, SQLite, {turn + 1}", partial(_killed, on), healthy=None)
        sound(home / "chaos.db")


async def clocks() -> AsyncIterator[Line]:
    """The clock is set back an hour: sessions, stored responses and presentations continue. Licenses of that hour have not begun."""
    with folder() as home, own_postgres() as database:
        for url in (await on_postgres(database), await on_sqlite(home)):
            off = home / "off"
            await asyncio.to_thread(off.write_text, "0", encoding="ascii")
            async with stage(home, url, 2, program=("ops.chaos.turned", str(off))) as on:
                yield await _burst(on, f"clocks set back by an hour, {url.partition('+')[0]}", partial(_set_back, on, off))


async def _set_back(on: Stage, off: Path) -> None:
    day_ago = on.given.clock.now() - timedelta(days=1)
    async with on.given.world.db.write() as tx:
        await tx.execute(update(License).values(starts_at=day_ago))
    await asyncio.to_thread(off.write_text, str(-BACK), encoding="ascii")


async def _burst(
    on: Stage, name: str, disrupt: Callable[[], Awaitable[None]], *, bound: float | None = None, healthy: float | None = HEALTHY
) -> Line:
    """Play the burst, check the database, and return the result."""
    burst = Burst(on.clients, await Scene.create(on.given, SIZE))
    over = 0.0

    async def disrupted() -> None:
        nonlocal over
        await disrupt()
        over = perf_counter()

    if healthy is None:
        health = None
        await burst.play(disrupted, AFTER)
    else:
        async with Looks(on.servers[0].base) as looks:
            await burst.play(disrupted, AFTER)
        health = looks.slowest
        assert health < healthy * load_factor(), health
    await burst.check(on.given)
    slowest = max(seconds for each in on.servers for seconds in read_response_times(each.log))
    assert bound is None or slowest < bound * load_factor(), slowest
    back = min((at for at in burst.ended if at > over), default=over) - over
    refused = {code.removeprefix("503 "): times for code, times in sorted(burst.outcomes.items()) if code.startswith("503")}
    note = ", ".join(f"{code} {times}" for code, times in refused.items())
    return Line(
        name,
        burst.outcomes.total(),
        len(burst.ended),
        sum(refused.values()),
        burst.outcomes["no response"],
        slowest,
        back,
        health,
        None,
        note,
    )


async def _again(database: Server, how: signal.Signals) -> None:
    await asyncio.to_thread(database.restart, how)


async def _frozen(database: Server) -> None:
    database.freeze()
    try:
        await asyncio.sleep(FROZEN)
    finally:
        database.thaw()


async def _killed(on: Stage) -> None:
    for each in on.servers:
        each.kill()
    await asyncio.gather(*(on.start(each) for each in on.servers))


def sound(path: Path) -> None:
    with closing(connect(path)) as looked:
        assert looked.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
