"""The ledger: appends signed receipts to the chain of an end user. A correction is a new event, never an edit (agreements R24)."""

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

_lock = (
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
_insert_event, _insert_context = insert(table(AgreementEvent)), insert(table(AgreementEventContext))
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
"""A text with its version, document and product: what an event is about. `TEXT_QUERY` joins their tables."""
TEXT_QUERY = (
    select(*TEXT_COLUMNS)
    .join(AgreementVersion, AgreementVersion.id == AgreementText.version_id)
    .join(AgreementDocument, AgreementDocument.id == AgreementVersion.document_id)
    .join(Product, Product.id == AgreementDocument.product_id)
)


@dataclass(frozen=True)
class ChainHead:
    """The last receipt of one user's chain: its number (0: the chain is empty), its SHA-256 and its time."""

    seq: int
    sha256: str | None
    at: datetime | None = None


@dataclass(frozen=True)
class SessionContext:
    """The end user's session that acted, and the network address and user agent of its request."""

    subject: Subject
    origin: Origin


@dataclass(frozen=True)
class NewEvent:
    """An event to append: what an end user or operator did with one text, and when by the server's clock.

    `about` is a row of `TEXT_COLUMNS`. `session` is None for an operator's event; `actor` is then the operator.
    `presentation` is the row of the presentation that was on the screen, if there was one. `claims` holds what the client or the
    operator asserts without proof; `facts` holds further claims of the receipt.
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
    """An event of the ledger, with its signed receipt and its number in the user's chain."""

    id: UUID
    type: str
    at: datetime
    ordinal: int
    receipt: str
    seq: int = 0


async def lock_ledger(tx: Transaction, user_id: UUID) -> ChainHead:
    """Lock the user's ledger until the transaction ends, and return the head of the chain."""
    row = (await tx.execute(_lock, {"whose": user_id})).one_or_none()
    if row is None:
        await dialect.insert_once(tx, AgreementLedger, {"user_id": user_id, "seq": 0, "head": None}, unless=["user_id"])
        row = (await tx.execute(_lock, {"whose": user_id})).one()
    # Must be a separate statement: under READ COMMITTED, a statement that waited for the lock still uses its old snapshot.
    last = await tx.scalar(_last, {"whose": user_id, "last": row.seq}) if row.seq else None
    return ChainHead(row.seq, row.head, last)


async def append_event(tx: Transaction, world: World, keys: Signer, head: ChainHead, event: NewEvent) -> RecordedEvent:
    """Sign the event and append it to the chain. The transaction must hold the lock that returned `head`.

    An event is never older than the chain's last event: if the clock of this replica is behind, the event gets the time of that last event
    (agreements R23). Raises TokenInvalid for an erased user or, where an operator acts, UserErased.
    """
    event = event if head.at is None else replace(event, at=max(event.at, head.at))
    event_id, salt = world.entropy.identifier(), world.entropy.random_bytes(SALT_BYTES)
    seq = head.seq + 1
    claims = {**_build_subject_claims(event), **_build_screen_claims(event), **_build_actor_claims(event, salt), **event.facts}
    claims |= {"claims": dict(event.claims) or None}
    claims |= {"iss": world.settings.public_url, "jti": str(event_id), "seq": seq, "prev": head.sha256}
    receipt = keys.sign(RECEIPT, {name: value for name, value in claims.items() if value is not None or name == "prev"})
    receipt_sha256 = digest(receipt)
    columns = {"id": event_id, "seq": seq, "receipt": receipt, "receipt_sha256": receipt_sha256, "prev_sha256": head.sha256}
    await tx.execute(_insert_event, _build_columns(event) | columns)
    if not await lock_unless_erased(tx, event.user_id):
        raise UserErased if event.session is None else TokenInvalid("The account was erased.")
    if event.session is not None:
        origin = event.session.origin
        context = {"event_id": event_id, "ip": origin.ip, "user_agent": origin.user_agent, "salt": salt}
        await tx.execute(_insert_context, {**context, "session_id": event.session.subject.session_id})
    step = {"whose": event.user_id, "last": head.seq, "next": seq, "receipt": receipt_sha256}
    if (await tx.execute(_extend, step)).rowcount != 1:
        raise RuntimeError("the ledger changed although this transaction holds its lock")
    return RecordedEvent(event_id, event.type, event.at, event.about.ordinal, receipt, seq)


async def update_state(tx: Transaction, before: Obligation, event: NewEvent, recorded: RecordedEvent) -> Obligation:
    """Store the state that follows from the event, and return the new obligation. The caller must hold the ledger's lock."""
    after = apply_event(before, event.type, event.about.ordinal)
    if after == before:
        return after
    values: dict[str, Any] = {
        "accepted_ordinal": after.accepted,
        "declined_ordinal": after.declined,
        "notified_ordinal": after.notified,
        "updated_at": recorded.at,
    }
    if after.withdrawn != before.withdrawn:
        values["withdrawn_at"] = recorded.at if after.withdrawn else None
    if after.accepted != before.accepted:
        values["accepted_event_id"] = recorded.id if after.accepted else None
    key: dict[str, Any] = {"user_id": event.user_id, "document_id": before.document_id}
    # The ledger's lock makes this the only writer. The condition only guards against a bug: an accepted ordinal must not fall.
    rises = (AgreementState.accepted_ordinal <= after.accepted) | (event.type == EventType.WITHDRAWN)
    if not await dialect.upsert(tx, AgreementState, {**key, **values}, on=list(key), change=values, where=rises):
        raise RuntimeError("the state changed although this transaction holds the ledger's lock")
    return after


def _build_columns(event: NewEvent) -> dict[str, Any]:
    """Return the event's columns that index claims of its receipt."""
    about, presentation = event.about, event.presentation
    return {
        "user_id": event.user_id,
        "type": event.type,
        "document_id": about.document_id,
        "version_id": about.version_id,
        "ordinal": about.ordinal,
        "text_id": about.text_id,
        "presentation_id": presentation.id if presentation is not None and event.type in DECISIONS else None,
        "at": event.at,
        "actor_type": event.actor.type,
        "actor_id": event.actor.id,
        "amr": " ".join(event.session.subject.amr) if event.session is not None else None,
        "fallback": presentation.fallback if presentation is not None else None,
    }


def _build_subject_claims(event: NewEvent) -> dict[str, Any]:
    """Return the claims about the user and the text (agreements, "The record"). They contain no name and no address."""
    about = event.about
    return {
        "sub": str(event.user_id),
        "event": event.type.value,
        "iat": int(event.at.timestamp()),
        "at": instant_text(event.at),
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


def _build_screen_claims(event: NewEvent) -> dict[str, Any]:
    """Return the claims about what was on the screen, and about the client that showed it."""
    presentation = event.presentation
    if presentation is None:
        return {}
    return {
        "locale_requested": presentation.locale_requested,
        "fallback": presentation.fallback,
        "format": presentation.format,
        # Presentations of early releases have no hash of the served bytes: they always served the stored Markdown.
        "served_sha256": presentation.served_sha256 or event.about.sha256,
        "prs": str(presentation.id),
        "presented_at": instant_text(presentation.presented_at),
        "client": presentation.client,
        "app_version": presentation.app_version,
        "platform": presentation.platform,
        "ui_ref": presentation.ui_ref,
    }


def _build_actor_claims(event: NewEvent, salt: bytes) -> dict[str, Any]:
    """Return the session's factors and commitments to its erasable data; for an operator's event, the operator."""
    if event.session is None:
        return {"act": {"type": event.actor.type, "id": str(event.actor.id) if event.actor.id else None}}
    subject, origin = event.session.subject, event.session.origin
    return {
        "amr": list(subject.amr),
        "auth_time": int(subject.auth_time.timestamp()),
        "sid_h": commit_to_session(salt, subject.session_id),
        "ctx": commit_to_context(salt, origin.ip, origin.user_agent),
    }
