"""Computes the agreement states from the events, to compare them with the stored states or to store them again."""

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
INITIAL_STATE: Mapping[str, Any] = {**dict.fromkeys(COLUMNS), **dict.fromkeys(COLUMNS[:3], 0)}
_events = select(AgreementEvent.id, AgreementEvent.document_id, AgreementEvent.type, AgreementEvent.ordinal, AgreementEvent.at)
_users = select(AgreementLedger.user_id).order_by(AgreementLedger.user_id).limit(BATCH)


@dataclass
class StateReplay:
    """The states of one end user after the events applied so far, by document."""

    states: dict[UUID, dict[str, Any]] = field(default_factory=dict)

    def apply(self, event: AnyRow) -> None:
        """Apply the next event in order. `event` has id, document_id, type, ordinal and at."""
        state = self.states.get(event.document_id, INITIAL_STATE)
        withdrawn = state["withdrawn_at"] is not None
        before = Obligation(
            event.document_id, state["accepted_ordinal"], state["declined_ordinal"], (), state["notified_ordinal"], withdrawn
        )
        after = apply_event(before, EventType(event.type), event.ordinal)
        if after == before:
            return
        ordinals = {"accepted_ordinal": after.accepted, "declined_ordinal": after.declined, "notified_ordinal": after.notified}
        changed = {**state, **ordinals, "updated_at": event.at}
        if after.withdrawn != before.withdrawn:
            changed["withdrawn_at"] = event.at if after.withdrawn else None
        if after.accepted != before.accepted:
            changed["accepted_event_id"] = event.id if after.accepted else None
        self.states[event.document_id] = changed

    def find_mismatch(self, rows: Iterable[AnyRow]) -> UUID | None:
        """Return a document whose stored state is wrong or missing, or follows from no event."""
        stored: Mapping[UUID, AnyRow] = {row.document_id: row for row in rows}
        for document_id in sorted(stored.keys() | self.states.keys()):
            row, state = stored.get(document_id), self.states.get(document_id)
            if row is None or state is None or any(getattr(row, name) != state[name] for name in COLUMNS):
                return document_id
        return None


async def rebuild_states(world: World) -> int:
    """Write the states of all end users again from their events, one user at a time. Returns how many users had a wrong state."""
    rebuilt, after = 0, UUID(int=0)
    while users := await _next_users(world, after):
        for user_id in users:
            async with world.db.write() as tx:
                rebuilt += await _rebuild_user(tx, world, user_id)
        after = users[-1]
    return rebuilt


async def _next_users(world: World, after: UUID) -> list[UUID]:
    async with world.db.query() as tx:
        return list((await tx.scalars(_users.where(AgreementLedger.user_id > after))).all())


async def _rebuild_user(tx: Transaction, world: World, user_id: UUID) -> bool:
    """Write the user's states again if they are wrong; return whether they were. Locks the ledger against concurrent decisions."""
    await chain.lock_ledger(tx, user_id)
    replay = StateReplay()
    for event in await tx.execute(_events.where(AgreementEvent.user_id == user_id).order_by(AgreementEvent.seq)):
        replay.apply(event)
    of_user = AgreementState.user_id == user_id
    if replay.find_mismatch((await tx.execute(select(*table(AgreementState).columns).where(of_user))).all()) is None:
        return False
    await tx.execute(delete(table(AgreementState)).where(of_user))
    if replay.states:
        rows = [{"user_id": user_id, "document_id": document_id, **state} for document_id, state in replay.states.items()]
        await tx.execute(insert(table(AgreementState)), rows)
    await record(tx, world, "ledger.rebuilt", Actor.system(), ("user", user_id), user_id)
    return True
