"""Reads receipts, annotates events, and verifies a receipt from any source."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import bindparam, select

from app.agreements.ledger import chain
from app.agreements.ledger.chain import TEXT_QUERY, NewEvent
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

NOT_GENUINE = declare_advisory("receipt_not_genuine", "The receipt is not signed with a key of this installation, or it was changed.")
NOT_IN_LEDGER = declare_advisory("receipt_not_in_ledger", "The signature is genuine, but the ledger does not contain exactly this receipt.")
REVOKED = declare_advisory(
    "signing_key_revoked", "The key that signed the receipt was revoked; `vouched_by` says what still confirms the receipt."
)
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
_DETAIL_COLUMNS = (
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


def _join_texts(*columns: Any) -> AnySelect:
    return (
        select(*columns)
        .join_from(AgreementEvent, AgreementText, AgreementText.id == AgreementEvent.text_id)
        .join(AgreementVersion, AgreementVersion.id == AgreementEvent.version_id)
        .join(AgreementDocument, AgreementDocument.id == AgreementEvent.document_id)
        .join(Product, Product.id == AgreementDocument.product_id)
    )


_receipts, _receipt = _join_texts(*_COLUMNS), _join_texts(*_DETAIL_COLUMNS)
_annotations = (
    select(AgreementEvent.id, AgreementEvent.at, AgreementEvent.actor_id, AgreementEvent.receipt)
    .where(
        AgreementEvent.user_id == bindparam("whose"), AgreementEvent.type == EventType.ANNOTATED, AgreementEvent.seq > bindparam("after")
    )
    .order_by(AgreementEvent.seq)
)
_context = select(*AgreementEventContext.__table__.columns).where(AgreementEventContext.event_id == bindparam("event"))
_stored_receipt = select(AgreementEvent.receipt).where(AgreementEvent.id == bindparam("event"))
_seal = (
    select(AgreementSeal.n, AgreementSeal.sealed_at, AgreementSeal.seal)
    .where(AgreementSeal.n >= select(AgreementSealItem.seal_n).where(AgreementSealItem.event_id == bindparam("event")).scalar_subquery())
    .limit(1)
)
_seals = (_seal.order_by(AgreementSeal.n), _seal.order_by(AgreementSeal.n.desc()))
"""The seal that contains an event, and the newest seal, whose chain includes it."""


@dataclass(frozen=True)
class Receipt:
    """A receipt: its row with the text it names, and its claims."""

    row: AnyRow
    claims: Claims


@dataclass(frozen=True)
class Annotation:
    """A correction of an event: by which operator key, when, and why (agreements R24)."""

    id: UUID
    at: datetime
    by: UUID | None
    reason: str


@dataclass(frozen=True)
class EventRecord:
    """An event as an operator reads it. `context` is None when it was erased, and for operators' events, which have none."""

    receipt: Receipt
    context: AnyRow | None
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class ReceiptCheck:
    """The result of verifying a receipt.

    `claims` is set only when one of our keys signed them. If that key was revoked later, a warning says what still vouches for
    the receipt.
    """

    code: Verdict
    claims: Claims | None
    warnings: tuple[Notice, ...] = ()

    @property
    def in_ledger(self) -> bool:
        return self.code == "ok"


def decode_claims(receipt: str) -> Claims:
    """Decode the claims of a stored receipt, without verifying its signature."""
    payload = receipt.split(".")[1]
    claims: Claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def list_receipts(world: World, subject: Subject, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    async with world.db.query() as tx:
        return await read_page(tx, _receipts.where(AgreementEvent.user_id == subject.id), AgreementEvent.id, window)


async def get_receipt(world: World, subject: Subject, event_id: UUID) -> Receipt:
    """Return one of the end user's own receipts. Raises ReceiptNotFound."""
    async with world.db.query() as tx:
        query = _receipt.where(AgreementEvent.id == event_id, AgreementEvent.user_id == subject.id)
        row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise ReceiptNotFound
    return Receipt(row, decode_claims(row.jws))


async def get_event(world: World, actor: Actor, event_id: UUID) -> EventRecord:
    """Return any event with its context and annotations. Raises AgreementEventNotFound.

    Reading a context is recorded as an event of the end user, who can see it (agreements P4).
    """
    async with world.db.read() as tx:
        row = (await tx.execute(_receipt.where(AgreementEvent.id == event_id))).one_or_none()
        if row is None:
            raise AgreementEventNotFound
        context = (await tx.execute(_context, {"event": event_id})).one_or_none()
        later = (await tx.execute(_annotations, {"whose": row.user, "after": row.seq})).all()
    if context is not None:
        async with world.db.write() as tx:
            await record(tx, world, "evidence.context_read", actor, ("user", row.user), row.user, event=str(event_id))
    decoded = [(each, decode_claims(each.receipt)) for each in later]
    annotations = (
        Annotation(each.id, each.at, each.actor_id, claims["reason"])
        for each, claims in decoded
        if claims.get("annotates") == str(event_id)
    )
    return EventRecord(Receipt(row, decode_claims(row.jws)), context, tuple(annotations))


async def annotate_event(world: World, actor: Actor, event_id: UUID, reason: str) -> Annotation:
    """Append a correction of an event to the same chain. It changes no state (agreements R24).

    Raises AgreementEventNotFound, UserErased.
    """
    keys = await load_signer(world)
    query = select(AgreementEvent.user_id, AgreementEvent.text_id).where(AgreementEvent.id == event_id)
    async with world.db.write() as tx:
        row = (await tx.execute(query)).one_or_none()
        if row is None:
            raise AgreementEventNotFound
        head = await chain.lock_ledger(tx, row.user_id)
        about = (await tx.execute(TEXT_QUERY.where(AgreementText.id == row.text_id))).one()
        facts = {"annotates": str(event_id), "reason": reason}
        event = NewEvent(row.user_id, EventType.ANNOTATED, world.clock.now(), about, actor, facts=facts)
        recorded = await chain.append_event(tx, world, keys, head, event)
        data = {"event": str(event_id), "receipt": str(recorded.id)}
        await record(tx, world, "agreement.annotated", actor, ("agreement", about.document_id), row.user_id, **data)
    return Annotation(recorded.id, recorded.at, actor.id, reason)


async def verify_receipt(world: World, text: str) -> ReceiptCheck:
    """Check whether a text is a receipt that one of our keys signed, and whether the ledger contains exactly that text.

    A retired key counts as ours. Raises nothing: every input has a result.
    """
    async with world.db.query() as tx:
        keys = await read_signer(tx, world)
        try:
            claims = keys.read(RECEIPT, text, MAX_RECEIPT)
            event_id = UUID(str(claims.get("jti")))
        except (InvalidToken, ValueError):
            return ReceiptCheck("receipt_not_genuine", None)
        in_ledger = await tx.scalar(_stored_receipt, {"event": event_id}) == text
        since = keys.revoked.get(read_kid(text) or "")
        warnings = () if since is None else (await _warn_of_revoked_key(tx, keys, event_id, since, in_ledger=in_ledger),)
    return ReceiptCheck("ok" if in_ledger else "receipt_not_in_ledger", claims, warnings)


async def _warn_of_revoked_key(tx: Transaction, keys: Signer, event_id: UUID, since: datetime, *, in_ledger: bool) -> Notice:
    """Return a warning with what still vouches for a receipt whose key leaked.

    A thief of the key can sign a receipt, but cannot add it to the ledger or to a seal that another key signed.
    """
    facts: dict[str, Fact] = {"revoked_at": instant_text(since), "vouched_by": "ledger" if in_ledger else "nothing"}
    for query in _seals if in_ledger else ():
        seal = (await tx.execute(query, {"event": event_id})).one_or_none()
        if seal is not None and read_kid(seal.seal) not in keys.revoked:
            facts |= {"vouched_by": "seal", "seal": seal.n, "sealed_at": instant_text(seal.sealed_at)}
            break
    return Notice(REVOKED, "The key that signed the receipt leaked.", facts)
