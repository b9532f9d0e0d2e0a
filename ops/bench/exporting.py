"""`python -m ops.bench --export`: export 1,000,000 agreement events as NDJSON and as CSV; reports the peak memory of the server."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

import httpx
import uvloop
from sqlalchemy import select

from app.agreements.models import AgreementEvent, AgreementText
from app.agreements.rules import digest
from app.db.base import table
from app.db.types import AnyRow
from app.security.signing import Signer
from app.signing_keys.service import load_signer
from app.users.models import User, UserStatus
from app.world import World
from ops.bench.accepts import TYP
from ops.bench.load import HOST, request
from ops.bench.stage import Server, stage
from tests.agreements import making
from tests.clock import TurnedClock
from tests.given import Given

SIZE, EACH, PART = 1_000_000, 5, 50_000
"""Events in all, of each end user, and in one COPY."""
BLOCK = 1 << 18
END = b"\r\n0\r\n\r\n"
MARKS = {"ndjson": b'"type":"declined"', "csv": b",declined,"}
"""A text that occurs once in each line."""
EVENT = (
    "id", "user_id", "seq", "type", "document_id", "version_id", "ordinal", "text_id", "at", "actor_type", "actor_id", "amr", "fallback",
    "receipt", "receipt_sha256", "prev_sha256",
)  # fmt: skip
USER = ("id", "email", "email_folded", "status", "metadata", "created_at")


@dataclass(frozen=True)
class Taken:
    """One export: its lines, its bytes including chunk headers, its duration, and the server's memory before and at its peak."""

    name: str
    lines: int
    byte_count: int
    seconds: float
    before: float
    peak: float

    def __str__(self) -> str:
        size, rate = self.byte_count / 2**20, self.lines / self.seconds
        return (
            f"{self.name:10}{self.lines:>10,} lines {size:>7.0f} MB in {self.seconds:>5.1f} s ({rate:,.0f}/s), "
            f"server {self.before:.0f} MB before, {self.peak:.0f} MB at its peak"
        )


def show() -> None:
    """Print the result of each export: one of each format, and a second one that shows whether memory was freed."""
    with stage() as on:
        key = uvloop.run(_filled(World.of(on.settings), on.app.port))
        for number, name in enumerate(("ndjson", "csv", "ndjson"), 1):
            print(_take(on.app, key, name, number), flush=True)


async def _filled(world: World, port: int) -> str:
    """Insert the events; return the API key of an operator who may export them."""
    try:
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=30) as client:
            given = await Given.with_root_key(client, world, TurnedClock(world.clock.now()))
            await making.create_in_force(given)
        keys, now = await load_signer(world), world.clock.now()
        async with world.db.query() as tx:
            text = (await tx.execute(select(AgreementText.id, AgreementText.version_id))).one()
            document = UUID(str((await tx.exec_driver_sql("SELECT id FROM agreement_documents")).scalar_one()))
            raw = await tx.get_raw_connection()
            await tx.exec_driver_sql("SET session_replication_role = replica")  # the rows fit each other as they are made
            for start in range(0, SIZE, PART):
                await _copy(raw.driver_connection, world, keys, (start, document, text, now))
            await tx.exec_driver_sql("RESET session_replication_role")
            await tx.exec_driver_sql("VACUUM ANALYZE")
        return given.root["Authorization"].removeprefix("Bearer ")
    finally:
        await world.db.close()


async def _copy(driver: Any, world: World, keys: Signer, part: tuple[int, UUID, AnyRow, datetime]) -> None:
    start, document, text, now = part
    users = [world.entropy.identifier() for _ in range(PART // EACH)]
    people = [(user_id, f"{user_id}@example.com", f"{user_id}@example.com", UserStatus.ACTIVE, "{}", now) for user_id in users]
    await driver.copy_records_to_table(table(User).name, records=people, columns=USER)
    events = list(_events(world, keys, users, (document, text, now)))
    assert start + len(events) <= SIZE
    await driver.copy_records_to_table(table(AgreementEvent).name, records=events, columns=EVENT)


def _events(world: World, keys: Signer, users: list[UUID], about: tuple[UUID, AnyRow, datetime]) -> Iterator[tuple[Any, ...]]:
    """Receipts of the length of real ones. One for each user is signed: an export does not look at signatures."""
    document, text, now = about
    for user in users:
        claims = {"sub": str(user), "doc": str(document), "txt": str(text.id), "filler": "x" * 900}
        receipt = keys.sign(TYP, claims)
        sha256 = digest(receipt)
        for seq in range(1, EACH + 1):
            place = (world.entropy.identifier(), user, seq, "declined", document, text.version_id, 1, text.id, now)
            yield (*place, "user", user, "pwd otp mfa", "none", receipt, sha256, sha256 if seq > 1 else None)


def _take(server: Server, key: str, name: str, number: int) -> Taken:
    """Read one export to its end, and count; nothing of it is kept. Chunks end where lines do, so no mark is cut by one."""
    before, mark = server.megabytes(), MARKS[name]
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5", encoding="ascii")  # proc(5): the peak is reset
    lines, byte_count, block, start = 0, 0, b"", perf_counter()
    with socket.create_connection((HOST, server.port)) as line:
        line.sendall(request("GET", f"/v1/agreement-events.{name}", token=key))
        while not block.endswith(END):
            tail, fresh = block[1 - len(mark) :], line.recv(BLOCK)
            assert fresh, "the export broke off"
            block, byte_count = tail + fresh, byte_count + len(fresh)
            lines += block.count(mark)
    assert lines == SIZE, f"{lines} lines"
    return Taken(f"{number}. {name}", lines, byte_count, perf_counter() - start, before, _peak(server))


def _peak(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
