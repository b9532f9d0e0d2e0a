"""`python -m ops.bench --million`: does a check cost the same among a million licenses as among ten thousand?

Two whole stages side by side, each with its own database, server, floor and ceiling; every license has a live seat. They are
played in turn, so that what slows the machine for a while slows both. It also counts what one check asks of the database.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any
from uuid import UUID

import httpx
import uvloop
from sqlalchemy import event

from app.base.clock import Clock
from app.config.settings import Settings
from app.db.database import Database
from app.db.types import AnyRow, AnySelect
from app.main import build_app
from app.observability import logs
from app.world import World
from ops.bench import copying
from ops.bench.crowd import Licensed
from ops.bench.load import HOST, Work, drive, request
from ops.bench.paths import strided
from ops.bench.stage import Stage, stage
from tests.clock import TurnedClock
from tests.given import Given

SIZES = (10_000, 1_000_000)
CLIENTS = (16, 64)
WARM_UP = 1.0
COUNTED = 500
"""Checks in this process, whose statements are counted one by one."""


@dataclass(frozen=True)
class Table:
    """A stage with that many licenses; `checked` are those of them that are asked for, spread over the whole table."""

    size: int
    stage: Stage
    checked: Sequence[Licensed]
    product: str

    def bodies(self) -> Iterator[dict[str, Any]]:
        for entry in self.checked:
            yield {"product": self.product, "license_key": entry.key, "device": {"fingerprint": entry.fingerprint}}


@dataclass(frozen=True)
class Asked:
    """What checks did to a database: statements in this process for each, and transactions that wrote while the server was loaded."""

    statements: float
    writing: int
    checks: int


Rates = dict[tuple[int, str, int], list[float]]
"""Requests per second of each round, by size of the table, what was asked, and clients."""


def compared(rounds: int, seconds: float) -> str:
    with stage() as small, stage() as large:
        return uvloop.run(_compared(dict(zip(SIZES, (small, large), strict=True)), rounds, seconds))


async def _compared(stages: dict[int, Stage], rounds: int, seconds: float) -> str:
    tables = [await _filled(size, on) for size, on in stages.items()]
    works = {(entry.size, *what): work for entry in tables for what, work in _works(entry).items()}
    for work in works.values():
        await drive(work, WARM_UP)
    rates: Rates = {key: [] for key in works}
    before = {entry.size: await _next_transaction(entry.stage.settings) for entry in tables}
    checks = dict.fromkeys(stages, 0)
    for _ in range(rounds):
        for key, work in works.items():
            tally = await drive(work, seconds)
            rates[key].append(tally.rate)
            checks[key[0]] += len(tally.waits) if key[1] == "validate" else 0
    after = {entry.size: await _next_transaction(entry.stage.settings) for entry in tables}
    asked = {entry.size: Asked(await _statements(entry), after[entry.size] - before[entry.size], checks[entry.size]) for entry in tables}
    return "\n".join([*_table(rates), "", *_sentences(rates, asked)])


async def _filled(size: int, on: Stage) -> Table:
    world = World.of(on.settings)
    try:
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{on.settings.port}", timeout=30) as client:
            given = await Given.with_root_key(client, world, TurnedClock(Clock().now()))
            policy = await given.policy(seat_by="device", max_seats="unlimited", lease="P7D", duration="P1Y", features={"export": True})
        checked = await copying.licenses(world, UUID(policy["id"]), size)
        return Table(size, on, checked, str(policy["product"]))
    finally:
        await world.db.close()


def _works(table: Table) -> dict[tuple[str, int], Work]:
    checks = strided([request("POST", "/v1/licenses/validate", body) for body in table.bodies()])
    rows = strided([request("GET", f"/row/{each.digest.hex()}") for each in table.checked])
    on = table.stage
    works: dict[tuple[str, int], Work] = {}
    for clients in CLIENTS:
        works["floor", clients] = Work(on.floor.port, clients, rows, tells=b'"key_last4":"')
        works["ceiling", clients] = Work(on.ceiling.port, clients, rows, tells=b'"key_last4":"')
        works["validate", clients] = Work(on.app.port, clients, checks, tells=b'"valid":true')
    return works


async def _next_transaction(settings: Settings) -> int:
    """Return the next transaction number. Only writing transactions take one, so the difference counts all that wrote."""
    db = Database.open(settings.database_url, 1)
    try:
        async with db.query() as tx:
            values = await tx.exec_driver_sql("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
            return int(values.scalar_one())
    finally:
        await db.close()


async def _statements(table: Table) -> float:
    """Statements of one check, by the whole application in this process on the same database."""
    settings = table.stage.settings.model_copy(update={"log_level": "error"})
    logs.configure_logging(settings)
    world = World.of(settings)
    seen: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        seen.append(statement)

    fast = world.db.fast_reads.rows

    async def counted(statement: AnySelect, parameters: Mapping[str, Any]) -> list[AnyRow]:
        seen.append(str(statement))
        return await fast(statement, parameters)

    bodies = [body for body, _ in zip(table.bodies(), range(COUNTED + 1), strict=False)]
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(build_app(world)), base_url=f"http://{HOST}") as client:
            await _valid(client, bodies[0])  # what a first connection asks is no check's doing
            for engine in {world.db.reader, world.db.writer}:
                event.listen(engine.sync_engine, "before_cursor_execute", count)
            world.db.fast_reads.rows = counted  # type: ignore[method-assign]  # fast reads bypass the events of SQLAlchemy
            for body in bodies[1:]:
                await _valid(client, body)
    finally:
        await world.db.close()
    assert all(statement.startswith("SELECT ") for statement in seen), "a check wrote something"
    return len(seen) / COUNTED


async def _valid(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await client.post("/v1/licenses/validate", json=body)
    assert answer.json()["valid"], answer.text


def _table(rates: Rates) -> Iterator[str]:
    yield f"{'licenses':>10}{'asked':>10}{'clients':>9}{'requests/s':>12}{'of floor':>10}{'of ceiling':>12}"
    for (size, name, clients), values in rates.items():
        ratios = [_ratio(values, rates[size, yardstick, clients]) for yardstick in ("floor", "ceiling")]
        yield f"{size:>10,}{name:>10}{clients:>9}{median(values):>12.0f}{ratios[0]:>10.2f}{ratios[1]:>12.2f}"


def _ratio(these: Sequence[float], those: Sequence[float]) -> float:
    return median(entry / by for entry, by in zip(these, those, strict=True))


def _sentences(rates: Rates, asked: dict[int, Asked]) -> Iterator[str]:
    small, large = SIZES
    for clients in CLIENTS:
        remaining = {name: _ratio(rates[large, name, clients], rates[small, name, clients]) for name in ("validate", "floor")}
        values = f"validate keeps {remaining['validate']:.2f} of its rate, the floor {remaining['floor']:.2f}"
        yield f"among {large:,} licenses instead of {small:,}, {clients} clients: {values}"
    for size, entry in asked.items():
        values = f"{entry.statements:.2f} statements for each check; {entry.writing} transactions wrote during {entry.checks:,} checks"
        yield f"among {size:,}: {values}"
