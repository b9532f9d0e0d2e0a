"""The cost of the hash chain: acceptances per second with and without it, in one process and database.

An accept is here what it writes: one transaction with one signature, an event, its context, the state and the audit entry. With the
chain it also takes the end user's ledger, and moves its head. HTTP and the reads around a decision are left out of both.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import insert, select

from app.agreements.ledger import chain
from app.agreements.ledger.chain import NewEvent, RecordedEvent, SessionContext
from app.agreements.models import AgreementEvent, AgreementEventContext, AgreementVersion, EventType
from app.agreements.obligations import Obligation
from app.agreements.rules import digest
from app.db.base import table
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.security.signing import Signer
from app.signing_keys.service import load_signer
from app.users.models import User, UserStatus
from app.web.callers import Origin, Subject
from app.world import World
from ops.bench.load import HOST
from ops.bench.stage import Stage
from tests.agreements import making
from tests.clock import TurnedClock
from tests.given import Given

TYP = "acceptance-receipt+jwt"
USERS, WRITERS, WANTED = 2000, 20, 0.70
Accept = Callable[[NewEvent], Awaitable[None]]


class Accepts:
    """Both ways of writing the same acceptance, for users without other requests."""

    def __init__(self, world: World, keys: Signer, about: AnyRow, users: Sequence[UUID]) -> None:
        self.world, self.keys, self.about, self.users = world, keys, about, users
        self.origin = Origin("192.0.2.1", "bench/1.0")
        self.template: dict[str, Any] = {}
        self.numbers = count(1)

    def acts(self) -> Iterator[NewEvent]:
        for number in count():
            user, now = self.users[number % len(self.users)], self.world.clock.now()
            by = Subject(
                user,
                UUID(int=number + 1),
                ("pwd", "otp", "mfa"),
                now,
                now,
                None,
                now,
                email_verified=True,
                has_second_factor=True,
                via_device_grant=False,
                epoch=0,
            )
            yield NewEvent(
                user, EventType.ACCEPTED, now, self.about, Actor("user", user), SessionContext(by, self.origin), claims={"dwell_ms": 1}
            )

    async def chained(self, act: NewEvent) -> None:
        async with self.world.db.write() as tx:
            head = await chain.lock_ledger(tx, act.user_id)
            event = await chain.append_event(tx, self.world, self.keys, head, act)
            await self._after(tx, act, event)

    async def unchained(self, act: NewEvent) -> None:
        """No lock, no place in a chain: `seq` is whatever is free, `prev` is left out."""
        event_id, salt = self.world.entropy.identifier(), self.world.entropy.random_bytes(chain.SALT_BYTES)
        receipt = self.keys.sign(TYP, {**self.template, "jti": str(event_id), "sub": str(act.user_id)})
        async with self.world.db.write() as tx:
            place = {"id": event_id, "user_id": act.user_id, "seq": -next(self.numbers), "at": act.at, "actor_id": act.user_id}
            about = {name: getattr(self.about, name) for name in ("document_id", "version_id", "ordinal", "text_id")}
            signed = {"receipt": receipt, "receipt_sha256": digest(receipt), "amr": "pwd otp mfa", "actor_type": "user"}
            await tx.execute(insert(table(AgreementEvent)).values({**place, **about, **signed, "type": act.type}))
            context = {"event_id": event_id, "ip": self.origin.ip, "user_agent": self.origin.user_agent, "salt": salt}
            await tx.execute(insert(table(AgreementEventContext)).values({**context, "session_id": act.user_id}))
            await self._after(tx, act, RecordedEvent(event_id, act.type, act.at, self.about.ordinal, receipt))

    async def _after(self, session: Any, act: NewEvent, event: RecordedEvent) -> None:
        await chain.update_state(session, Obligation(self.about.document_id, 0, 0, ()), act, event)
        about = ("agreement", self.about.document_id)
        await record(session, self.world, "agreement.accepted", act.actor, about, act.user_id, ordinal=1, receipt=str(event.id))


async def compared(on: Stage, rounds: int, seconds: float) -> str:
    """Measure both in turn, round after round; the ratio is the median of the ratios of the rounds."""
    world = World.of(on.settings)
    try:
        accepts = await _ready(world, on)
        acts = accepts.acts()
        rates: dict[str, list[float]] = {"chained": [], "unchained": []}
        for number in range(rounds + 1):
            for name in rates:
                rate = await _rate(getattr(accepts, name), acts, seconds if number else 0.5)
                rates[name] += [rate] if number else []
    finally:
        await world.db.close()
    ratios = [one / other for one, other in zip(rates["chained"], rates["unchained"], strict=True)]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f} in {rounds} rounds"
    summary = " compared with ".join(f"{median(rates_of_kind):.0f}/s {name}" for name, rates_of_kind in rates.items())
    return f"accepts, {WRITERS} writers: {summary}; the chain keeps {median(ratios):.2f} ({spread}; wanted >= {WANTED:.2f})"


async def _ready(world: World, on: Stage) -> Accepts:
    """Create an agreement in force, users with a ledger each, and the claims of a real receipt."""
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{on.settings.port}", timeout=30) as client:
        given = await Given.with_root_key(client, world, TurnedClock(world.clock.now()))
        agreement = await making.create_in_force(given)
    now = world.clock.now()
    users = [world.entropy.identifier() for _ in range(USERS)]
    same = {"status": UserStatus.ACTIVE, "metadata": {}, "created_at": now}
    rows = [{**same, "id": user_id, "email": f"{user_id}@example.com", "email_folded": f"{user_id}@example.com"} for user_id in users]
    async with world.db.write() as tx:
        await tx.execute(insert(table(User)), rows)
        about = (await tx.execute(chain.TEXT_QUERY.where(AgreementVersion.document_id == UUID(agreement["id"])))).one()
    accepts = Accepts(world, await load_signer(world), about, users)
    for _, act in zip(users, accepts.acts(), strict=False):
        await accepts.chained(act)
    async with world.db.query() as tx:
        receipt = (await tx.execute(select(AgreementEvent.receipt).where(AgreementEvent.user_id == users[0]))).scalar_one()
    accepts.template = {name: value for name, value in accepts.keys.read(TYP, receipt).items() if name not in {"seq", "prev"}}
    return accepts


async def _rate(accept: Accept, acts: Iterator[NewEvent], seconds: float) -> float:
    start, done = perf_counter(), 0

    async def writer() -> None:
        nonlocal done
        while perf_counter() < start + seconds:
            await accept(next(acts))
            done += 1

    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    return done / (perf_counter() - start)
