"""Receipts as they are read: by their end user, by an operator, and by anybody who holds one and asks whether it is ours."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import bindparam, select

from app.agreements.ledger import chain
from app.agreements.ledger.chain import TEXT_QUERY, NewEvent, RecordedEvent
from app.agreements.ledger.proofs import MAX_RECEIPT, RECEIPT
from app.agreements.models import (
    AgreementDocument,
    AgreementEvent,
    AgreementEventContext,
    AgreementSeal,
    AgreementSealItem,
    AgreementText,
    AgreementVersion,
    EventType,
)
from app.agreements.problems import AgreementEventNotFound, ReceiptNotFound
from app.base.durations import instant_text
from app.base.problems import Fact, declare_advisory
from app.base.verdicts import Notice
from app.catalog.models import Product
from app.db.database import Transaction
from app.db.types import AnyRow, AnySelect
from app.events.service import Actor, record
from app.security.signing import Claims, InvalidToken, Signer, read_kid
from app.signing_keys.service import load_signer, read_signer
from app.web.callers import Subject
from app.web.paging import PageWindow, read_page
from app.world import World

NOT_GENUINE = declare_advisory("receipt_not_genuine", "It is no receipt that one of our keys signed, or it was changed since.")
NOT_IN_LEDGER = declare_advisory("receipt_not_in_ledger", "Our key signed it, and the ledger does not hold exactly this receipt.")
REVOKED = declare_advisory("signing_key_revoked", "The key that signed it was put out of use; what still vouches for it stands beside.")
Verdict = Literal["ok", "receipt_not_genuine", "receipt_not_in_ledger"]

_COLUMNS = (
    AgreementEvent.id,
    AgreementEvent.type,
    AgreementEvent.at,
    Product.code.label("product"),
    AgreementEvent.document_id.label("document"),
    AgreementEvent.version_id.label("version"),
    AgreementEvent.ordinal,
    AgreementEvent.text_id.label("text"),
    AgreementText.locale,
    AgreementEvent.seq,
    AgreementEvent.receipt.label("jws"),
)
_WHOLE = (
    *_COLUMNS,
    AgreementEvent.user_id.label("user"),
    AgreementEvent.amr,
    AgreementEvent.fallback,
    AgreementDocument.name,
    AgreementVersion.label,
    AgreementText.title,
    AgreementText.statement,
    AgreementText.accept_label,
    AgreementText.decline_label,
)


def _joined(*columns: Any) -> AnySelect:
    return (
        select(*columns)
        .join_from(AgreementEvent, AgreementText, AgreementText.id == AgreementEvent.text_id)
        .join(AgreementVersion, AgreementVersion.id == AgreementEvent.version_id)
        .join(AgreementDocument, AgreementDocument.id == AgreementEvent.document_id)
        .join(Product, Product.id == AgreementDocument.product_id)
    )


_receipts, _receipt = _joined(*_COLUMNS), _joined(*_WHOLE)
_notes = (
    select(AgreementEvent.id, AgreementEvent.at, AgreementEvent.actor_id, AgreementEvent.receipt)
    .where(
        AgreementEvent.user_id == bindparam("whose"), AgreementEvent.type == EventType.ANNOTATED, AgreementEvent.seq > bindparam("after")
    )
    .order_by(AgreementEvent.seq)
)
_context = select(*AgreementEventContext.__table__.columns).where(AgreementEventContext.event_id == bindparam("event"))
_held = select(AgreementEvent.receipt).where(AgreementEvent.id == bindparam("event"))
_sealed = (
    select(AgreementSeal.n, AgreementSeal.sealed_at, AgreementSeal.seal)
    .where(AgreementSeal.n >= select(AgreementSealItem.seal_n).where(AgreementSealItem.event_id == bindparam("event")).scalar_subquery())
    .limit(1)
)
_seals = (_sealed.order_by(AgreementSeal.n), _sealed.order_by(AgreementSeal.n.desc()))
"""The seal that holds an event, and the newest, which by its chain holds that one."""


@dataclass(frozen=True)
class Receipt:
    """A receipt with what it says, and the words that it names."""

    row: AnyRow
    claims: Claims


@dataclass(frozen=True)
class Annotation:
    """A correction: who made it, when, and why (agreements R24)."""

    id: UUID
    at: Any
    by: UUID | None
    reason: str


@dataclass(frozen=True)
class EventRecord:
    """An event as an operator reads it. `context` is None once it was erased, and for what no hand of the end user did."""

    whole: Receipt
    context: AnyRow | None
    notes: tuple[Annotation, ...]


@dataclass(frozen=True)
class ReceiptCheck:
    """What became of a text that is said to be a receipt. `claims` only when one of our keys signed them; a warning when that key was
    revoked since, with what still vouches for the receipt."""

    code: Verdict
    claims: Claims | None
    warnings: tuple[Notice, ...] = ()

    @property
    def in_ledger(self) -> bool:
        return self.code == "ok"


def decode_claims(receipt: str) -> Claims:
    """What a stored receipt says. Whether it is genuine is for the verifying calls to tell."""
    payload = receipt.split(".")[1]
    told: Claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return told


async def list_receipts(world: World, subject: Subject, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    async with world.db.query() as tx:
        return await read_page(tx, _receipts.where(AgreementEvent.user_id == subject.id), AgreementEvent.id, window)


async def receipt(world: World, subject: Subject, event_id: UUID) -> Receipt:
    """One of the end user's own receipts. Raises ReceiptNotFound."""
    async with world.db.query() as tx:
        wanted = _receipt.where(AgreementEvent.id == event_id, AgreementEvent.user_id == subject.id)
        row = (await tx.execute(wanted)).one_or_none()
    if row is None:
        raise ReceiptNotFound
    return Receipt(row, decode_claims(row.jws))


async def event(world: World, actor: Actor, event_id: UUID) -> EventRecord:
    """Any event, with its context and its annotations. Who is shown where an end user was leaves a trace that the end user can see (agreements P4).

    Raises AgreementEventNotFound.
    """
    async with world.db.read() as tx:
        row = (await tx.execute(_receipt.where(AgreementEvent.id == event_id))).one_or_none()
        if row is None:
            raise AgreementEventNotFound
        context = (await tx.execute(_context, {"event": event_id})).one_or_none()
        later = (await tx.execute(_notes, {"whose": row.user, "after": row.seq})).all()
    if context is not None:
        async with world.db.write() as tx:
            await record(tx, world, "evidence.context_read", actor, ("user", row.user), row.user, event=str(event_id))
    told = [(note, decode_claims(note.receipt)) for note in later]
    notes = [
        Annotation(note.id, note.at, note.actor_id, claims["reason"]) for note, claims in told if claims.get("annotates") == str(event_id)
    ]
    return EventRecord(Receipt(row, decode_claims(row.jws)), context, tuple(notes))


async def annotate(world: World, actor: Actor, event_id: UUID, reason: str) -> Annotation:
    """Add a correction to an event: an event of its own in the same chain, which changes no state (agreements R24).

    Raises AgreementEventNotFound, UserErased.
    """
    keys = await load_signer(world)
    whose = select(AgreementEvent.user_id, AgreementEvent.text_id).where(AgreementEvent.id == event_id)
    async with world.db.write() as tx:
        found = (await tx.execute(whose)).one_or_none()
        if found is None:
            raise AgreementEventNotFound
        head = await chain.lock_ledger(tx, found.user_id)
        about = (await tx.execute(TEXT_QUERY.where(AgreementText.id == found.text_id))).one()
        facts = {"annotates": str(event_id), "reason": reason}
        act = NewEvent(found.user_id, EventType.ANNOTATED, world.clock.now(), about, actor, facts=facts)
        made = await chain.append(tx, world, keys, head, act)
        await _told(tx, world, act, made, event_id)
    return Annotation(made.id, made.at, actor.id, reason)


async def _told(tx: Transaction, world: World, act: NewEvent, made: RecordedEvent, event_id: UUID) -> None:
    facts = {"event": str(event_id), "receipt": str(made.id)}
    await record(tx, world, "agreement.annotated", act.actor, ("agreement", act.about.document_id), act.user_id, **facts)


async def verify(world: World, text: str) -> ReceiptCheck:
    """Whether a text is a receipt that a key of ours signed, retired or not, and whether the ledger holds exactly it. Never raises."""
    async with world.db.query() as tx:
        keys = await read_signer(tx, world)
        try:
            claims = keys.read(RECEIPT, text, MAX_RECEIPT)
            event_id = UUID(str(claims.get("jti")))
        except (InvalidToken, ValueError):
            return ReceiptCheck("receipt_not_genuine", None)
        held = await tx.scalar(_held, {"event": event_id}) == text
        since = keys.revoked.get(read_kid(text) or "")
        warnings = () if since is None else (await _vouched(tx, keys, event_id, since, held=held),)
    return ReceiptCheck("ok" if held else "receipt_not_in_ledger", claims, warnings)


async def _vouched(tx: Transaction, keys: Signer, event_id: UUID, since: datetime, *, held: bool) -> Notice:
    """What a receipt by a key that leaked is worth still: whoever has the key could have made it, but not put it into the ledger, and
    not under a seal that another key signed."""
    facts: dict[str, Fact] = {"revoked_at": instant_text(since), "vouched_by": "ledger" if held else "nothing"}
    for wanted in _seals if held else ():
        seal = (await tx.execute(wanted, {"event": event_id})).one_or_none()
        if seal is not None and read_kid(seal.seal) not in keys.revoked:
            facts |= {"vouched_by": "seal", "seal": seal.n, "sealed_at": instant_text(seal.sealed_at)}
            break
    return Notice(REVOKED, "The key that signed the receipt leaked.", facts)
