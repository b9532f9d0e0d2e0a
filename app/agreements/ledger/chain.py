"""The ledger: what each end user did, signed and chained to what came before it. Only ever added to; a correction is a new event (agreements R24)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, select, update

from app.agreements.ledger.proofs import RECEIPT, commit_to_context, commit_to_session
from app.agreements.models import (
    AgreementDocument,
    AgreementEvent,
    AgreementEventContext,
    AgreementLedger,
    AgreementState,
    AgreementText,
    AgreementVersion,
    EventType,
)
from app.agreements.obligations import Obligation, apply_event
from app.agreements.rules import digest
from app.base.durations import instant_text
from app.catalog.models import Product
from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor
from app.security.signing import Signer
from app.users.data_lifecycle import lock_unless_erased
from app.users.problems import UserErased
from app.web.callers import Origin, Subject
from app.web.problems import TokenInvalid
from app.world import World

SALT_BYTES = 32
DECISIONS = frozenset({EventType.ACCEPTED, EventType.DECLINED})

_hold = (
    update(AgreementLedger)
    .where(AgreementLedger.user_id == bindparam("whose"))
    .values(seq=AgreementLedger.seq)
    .returning(AgreementLedger.seq, AgreementLedger.head)
)
_extend = (
    update(AgreementLedger)
    .where(AgreementLedger.user_id == bindparam("whose"), AgreementLedger.seq == bindparam("last"))
    .values(seq=bindparam("next"), head=bindparam("receipt"))
)
_last = select(AgreementEvent.at).where(AgreementEvent.user_id == bindparam("whose"), AgreementEvent.seq == bindparam("last"))
_event, _context = insert(table(AgreementEvent)), insert(table(AgreementEventContext))
TEXT_COLUMNS = (
    AgreementText.id.label("text_id"),
    AgreementText.version_id,
    AgreementText.locale,
    AgreementText.sha256,
    AgreementText.statement_sha256,
    AgreementVersion.document_id,
    AgreementVersion.ordinal,
    AgreementVersion.effective_at,
    AgreementVersion.status,
    AgreementDocument.product_id,
    AgreementDocument.kind,
    AgreementDocument.region,
    Product.code.label("product"),
)
"""What an event is about, from a text up to its product; `WHOLE` joins them."""
TEXT_QUERY = (
    select(*TEXT_COLUMNS)
    .join(AgreementVersion, AgreementVersion.id == AgreementText.version_id)
    .join(AgreementDocument, AgreementDocument.id == AgreementVersion.document_id)
    .join(Product, Product.id == AgreementDocument.product_id)
)


@dataclass(frozen=True)
class ChainHead:
    """The end of one end user's chain: how many receipts it has, the SHA-256 of the last one (None: there is none), and its time."""

    seq: int
    sha256: str | None
    at: datetime | None = None


@dataclass(frozen=True)
class SessionContext:
    """The end user's own hand: which session acted, and from where."""

    subject: Subject
    origin: Origin


@dataclass(frozen=True)
class NewEvent:
    """What was done about a text, to which end user's account, at what server time.

    `about` is a row of `ABOUT`. `hand` is the end user's own; None where an operator brought the event here, who is then `actor`.
    `shown` is the presentation's row, if one was on the screen. `claims` is what the client or operator asserts and nobody can check;
    `facts` are further claims of the receipt itself.
    """

    user_id: UUID
    type: EventType
    at: datetime
    about: AnyRow
    actor: Actor
    session: SessionContext | None = None
    presentation: AnyRow | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RecordedEvent:
    """An event as its end user is told of it."""

    id: UUID
    type: str
    at: datetime
    ordinal: int
    receipt: str
    seq: int = 0


async def lock_ledger(tx: Transaction, user_id: UUID) -> ChainHead:
    """Take the end user's ledger for this transaction: whatever else is recorded for the same user waits here."""
    row = (await tx.execute(_hold, {"whose": user_id})).one_or_none()
    if row is None:
        await dialect.insert_once(tx, AgreementLedger, {"user_id": user_id, "seq": 0, "head": None}, unless=["user_id"])
        row = (await tx.execute(_hold, {"whose": user_id})).one()
    # A statement of its own: one that waited for the lock would look with the eyes of before it waited.
    last = await tx.scalar(_last, {"whose": user_id, "last": row.seq}) if row.seq else None
    return ChainHead(row.seq, row.head, last)


async def append(tx: Transaction, world: World, keys: Signer, head: ChainHead, act: NewEvent) -> RecordedEvent:
    """Sign what was done and add it to the chain whose `head` this transaction holds.

    Its time is the act's or, where a replica's clock is behind that of the chain's last event, that event's (agreements R23).
    Raises TokenInvalid or, where an operator acts, UserErased: nothing is added to the chain of who was erased.
    """
    act = act if head.at is None else replace(act, at=max(act.at, head.at))
    event_id, salt = world.entropy.identifier(), world.entropy.random_bytes(SALT_BYTES)
    seq = head.seq + 1
    whole = {**_matter(act), **_screen(act), **_hand(act, salt), **act.facts, "claims": dict(act.claims) or None}
    chain = {"iss": world.settings.public_url, "jti": str(event_id), "seq": seq, "prev": head.sha256}
    receipt = keys.sign(RECEIPT, {name: value for name, value in {**whole, **chain}.items() if value is not None or name == "prev"})
    event = _columns(act) | {"id": event_id, "seq": seq, "receipt": receipt, "receipt_sha256": digest(receipt), "prev_sha256": head.sha256}
    await tx.execute(_event, event)
    if not await lock_unless_erased(tx, act.user_id):
        raise UserErased if act.session is None else TokenInvalid("The account was erased.")
    if act.session is not None:
        origin = act.session.origin
        context = {"event_id": event_id, "ip": origin.ip, "user_agent": origin.user_agent, "salt": salt}
        await tx.execute(_context, {**context, "session_id": act.session.subject.session_id})
    step = {"whose": act.user_id, "last": head.seq, "next": seq, "receipt": event["receipt_sha256"]}
    if (await tx.execute(_extend, step)).rowcount != 1:
        raise RuntimeError("the ledger moved under the transaction that holds it")
    return RecordedEvent(event_id, act.type, act.at, act.about.ordinal, receipt, seq)


async def update_state(tx: Transaction, before: Obligation, act: NewEvent, event: RecordedEvent) -> Obligation:
    """Move the state that follows from the events, and return the duty as it is now. Only for whoever holds the ledger."""
    after = apply_event(before, act.type, act.about.ordinal)
    if after == before:
        return after
    values: dict[str, Any] = {
        "accepted_ordinal": after.accepted,
        "declined_ordinal": after.declined,
        "notified_ordinal": after.notified,
        "updated_at": event.at,
    }
    if after.withdrawn != before.withdrawn:
        values["withdrawn_at"] = event.at if after.withdrawn else None
    if after.accepted != before.accepted:
        values["accepted_event_id"] = event.id if after.accepted else None
    key: dict[str, Any] = {"user_id": act.user_id, "document_id": before.document_id}
    # The ledger's lock makes this the only writer; that what was accepted only rises is checked all the same.
    rises = (AgreementState.accepted_ordinal <= after.accepted) | (act.type == EventType.WITHDRAWN)
    if not await dialect.upsert(tx, AgreementState, {**key, **values}, on=list(key), change=values, where=rises):
        raise RuntimeError("the state moved under the transaction that holds its ledger")
    return after


def _columns(act: NewEvent) -> dict[str, Any]:
    """The index of the receipt that the event's other columns are."""
    about, shown = act.about, act.presentation
    return {
        "user_id": act.user_id,
        "type": act.type,
        "document_id": about.document_id,
        "version_id": about.version_id,
        "ordinal": about.ordinal,
        "text_id": about.text_id,
        "presentation_id": shown.id if shown is not None and act.type in DECISIONS else None,
        "at": act.at,
        "actor_type": act.actor.type,
        "actor_id": act.actor.id,
        "amr": " ".join(act.session.subject.amr) if act.session is not None else None,
        "fallback": shown.fallback if shown is not None else None,
    }


def _matter(act: NewEvent) -> dict[str, Any]:
    """What was done, to whom, about which words (rules/agreements section 2.2). No name and no address of anybody."""
    about = act.about
    return {
        "sub": str(act.user_id),
        "event": act.type.value,
        "iat": int(act.at.timestamp()),
        "at": instant_text(act.at),
        "doc": str(about.document_id),
        "ver": str(about.version_id),
        "ord": about.ordinal,
        "txt": str(about.text_id),
        "product": about.product,
        "kind": about.kind,
        "region": about.region,
        "locale": about.locale,
        "text_sha256": about.sha256,
        "stmt_sha256": about.statement_sha256,
        "capacity": "unknown",
    }


def _screen(act: NewEvent) -> dict[str, Any]:
    """What was on the screen, and in which client."""
    shown = act.presentation
    if shown is None:
        return {}
    return {
        "locale_requested": shown.locale_requested,
        "fallback": shown.fallback,
        "format": shown.format,
        "served_sha256": shown.served_sha256 or act.about.sha256,  # of before formats: Markdown as it is stored
        "prs": str(shown.id),
        "presented_at": instant_text(shown.presented_at),
        "client": shown.client,
        "app_version": shown.app_version,
        "platform": shown.platform,
        "ui_ref": shown.ui_ref,
    }


def _hand(act: NewEvent, salt: bytes) -> dict[str, Any]:
    """Whose hand it was: the session's factors, and commitments to what may be erased; or the operator who brought it."""
    if act.session is None:
        return {"act": {"type": act.actor.type, "id": str(act.actor.id) if act.actor.id else None}}
    by, origin = act.session.subject, act.session.origin
    return {
        "amr": list(by.amr),
        "auth_time": int(by.auth_time.timestamp()),
        "sid_h": commit_to_session(salt, by.session_id),
        "ctx": commit_to_context(salt, origin.ip, origin.user_agent),
    }
