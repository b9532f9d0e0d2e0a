"""Where end users stand, as it follows from their events: `agreement_states` can be compared with it, and be made anew of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select

from app.agreements.ledger import chain
from app.agreements.models import AgreementEvent, AgreementLedger, AgreementState, EventType
from app.agreements.obligations import Obligation, apply_event
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.world import World

BATCH = 200
COLUMNS = ("accepted_ordinal", "declined_ordinal", "notified_ordinal", "withdrawn_at", "accepted_event_id")
NOTHING: Mapping[str, Any] = {**dict.fromkeys(COLUMNS), **dict.fromkeys(COLUMNS[:3], 0)}
_events = select(AgreementEvent.id, AgreementEvent.document_id, AgreementEvent.type, AgreementEvent.ordinal, AgreementEvent.at)
_users = select(AgreementLedger.user_id).order_by(AgreementLedger.user_id).limit(BATCH)


@dataclass
class Replay:
    """What the events seen so far of one end user make of their states, by document."""

    states: dict[UUID, dict[str, Any]] = field(default_factory=dict)

    def take(self, event: AnyRow) -> None:
        """The next event in order; `event` has id, document_id, type, ordinal and at."""
        before = self.states.get(event.document_id, NOTHING)
        withdrawn = before["withdrawn_at"] is not None
        was = Obligation(
            event.document_id, before["accepted_ordinal"], before["declined_ordinal"], (), before["notified_ordinal"], withdrawn
        )
        now = apply_event(was, EventType(event.type), event.ordinal)
        if now == was:
            return
        after = {**before, "accepted_ordinal": now.accepted, "declined_ordinal": now.declined, "notified_ordinal": now.notified}
        if now.withdrawn != was.withdrawn:
            after["withdrawn_at"] = event.at if now.withdrawn else None
        if now.accepted != was.accepted:
            after["accepted_event_id"] = event.id if now.accepted else None
        self.states[event.document_id] = {**after, "updated_at": event.at}

    def misfit(self, stored: Iterable[AnyRow]) -> UUID | None:
        """A document whose stored state is another, or is missing, or follows from nothing."""
        found: Mapping[UUID, AnyRow] = {row.document_id: row for row in stored}
        for document_id in sorted(found.keys() | self.states.keys()):
            row, made = found.get(document_id), self.states.get(document_id)
            if row is None or made is None or any(getattr(row, name) != made[name] for name in COLUMNS):
                return document_id
        return None


async def rebuild(world: World) -> int:
    """Make the states of everybody who has a ledger anew of the events, one end user at a time; how many were wrong."""
    mended, after = 0, UUID(int=0)
    while users := await _some(world, after):
        for user_id in users:
            async with world.db.write() as tx:
                mended += await _mend(tx, world, user_id)
        after = users[-1]
    return mended


async def _some(world: World, after: UUID) -> list[UUID]:
    async with world.db.query() as tx:
        return list((await tx.scalars(_users.where(AgreementLedger.user_id > after))).all())


async def _mend(tx: Transaction, world: World, user_id: UUID) -> bool:
    """Whether the end user's states had to be written anew. Holds the ledger, so that nothing is decided meanwhile."""
    await chain.lock_ledger(tx, user_id)
    replay = Replay()
    for event in await tx.execute(_events.where(AgreementEvent.user_id == user_id).order_by(AgreementEvent.seq)):
        replay.take(event)
    mine = AgreementState.user_id == user_id
    if replay.misfit((await tx.execute(select(*table(AgreementState).columns).where(mine))).all()) is None:
        return False
    await tx.execute(delete(table(AgreementState)).where(mine))
    if replay.states:
        rows = [{"user_id": user_id, "document_id": document_id, **state} for document_id, state in replay.states.items()]
        await tx.execute(insert(table(AgreementState)), rows)
    await record(tx, world, "ledger.rebuilt", Actor.system(), ("user", user_id), user_id)
    return True
