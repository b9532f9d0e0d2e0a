"""Receipts: each decision signed and chained to the one before it, by end user. Only ever added to; a correction is a new event (R24)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, select, update

from app.agreements.models import AgreementDocument, AgreementEvent, AgreementEventContext, AgreementLedger, AgreementText, EventType
from app.agreements.problems import ReceiptNotFound
from app.agreements.rules import digest, told
from app.base.signing import Signer
from app.catalog.models import Product
from app.db import dialect
from app.db.database import Session
from app.db.types import AnyRow
from app.web.callers import Origin, Subject
from app.web.paging import Window, page
from app.world import World

TYP = "acceptance-receipt+jwt"
SALT_OCTETS = 32

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
_receipts = (
    select(
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
    .join(AgreementText, AgreementText.id == AgreementEvent.text_id)
    .join(AgreementDocument, AgreementDocument.id == AgreementEvent.document_id)
    .join(Product, Product.id == AgreementDocument.product_id)
)


@dataclass(frozen=True)
class Head:
    """The end of one end user's chain: how many receipts it has, and the SHA-256 of the last one (None: there is none)."""

    seq: int
    sha256: str | None


@dataclass(frozen=True)
class Act:
    """What an end user did: by which session and from where, with what on the screen, at what server time.

    `shown` is the presentation's row with its text, version, document and product; `claims` is what the client asserts.
    """

    by: Subject
    origin: Origin
    shown: AnyRow
    type: EventType
    at: datetime
    claims: Mapping[str, Any]


@dataclass(frozen=True)
class Recorded:
    """An event as its end user is told of it."""

    id: UUID
    type: str
    at: datetime
    ordinal: int
    receipt: str


async def hold(session: Session, user_id: UUID) -> Head:
    """Take the end user's ledger for this transaction: whatever else decides for the same user waits here."""
    row = (await session.execute(_hold, {"whose": user_id})).one_or_none()
    if row is None:
        await dialect.insert_once(session, AgreementLedger, {"user_id": user_id, "seq": 0, "head": None}, unless=["user_id"])
        row = (await session.execute(_hold, {"whose": user_id})).one()
    return Head(row.seq, row.head)


async def append(session: Session, world: World, keys: Signer, head: Head, act: Act) -> Recorded:
    """Sign what was done and add it to the chain whose `head` this transaction holds."""
    event_id, salt = world.entropy.identifier(), world.entropy.octets(SALT_OCTETS)
    receipt = keys.sign(TYP, {**_claims(act, event_id, salt), "iss": world.settings.public_url, "seq": head.seq + 1, "prev": head.sha256})
    shown = act.shown
    event = {
        "id": event_id,
        "user_id": act.by.id,
        "seq": head.seq + 1,
        "type": act.type,
        "document_id": shown.document_id,
        "version_id": shown.version_id,
        "ordinal": shown.ordinal,
        "text_id": shown.text_id,
        "presentation_id": shown.id,
        "at": act.at,
        "receipt": receipt,
        "receipt_sha256": digest(receipt),
        "prev_sha256": head.sha256,
    }
    origin = {"ip": act.origin.ip, "user_agent": act.origin.user_agent, "session_id": act.by.session_id, "salt": salt}
    await session.execute(insert(AgreementEvent).values(event))
    await session.execute(insert(AgreementEventContext).values(event_id=event_id, **origin))
    step = {"whose": act.by.id, "last": head.seq, "next": head.seq + 1, "receipt": event["receipt_sha256"]}
    if (await session.execute(_extend, step)).rowcount != 1:
        raise RuntimeError("the ledger moved under the transaction that holds it")
    return Recorded(event_id, act.type, act.at, shown.ordinal, receipt)


def _claims(act: Act, event_id: UUID, salt: bytes) -> dict[str, Any]:
    """The claims of rules/agreements section 2.2, without those that do not apply. No name, no address, no raw session id."""
    shown = act.shown
    whole = {
        "jti": str(event_id),
        "sub": str(act.by.id),
        "event": act.type.value,
        "iat": int(act.at.timestamp()),
        "at": told(act.at),
        "doc": str(shown.document_id),
        "ver": str(shown.version_id),
        "ord": shown.ordinal,
        "txt": str(shown.text_id),
        "product": shown.product,
        "kind": shown.kind,
        "region": shown.region,
        "locale": shown.locale,
        "locale_requested": shown.locale_requested,
        "fallback": shown.fallback,
        "text_sha256": shown.sha256,
        "format": shown.format,
        "served_sha256": shown.sha256,  # Markdown is served as it is stored
        "stmt_sha256": shown.statement_sha256,
        "prs": str(shown.id),
        "presented_at": told(shown.presented_at),
        "amr": list(act.by.amr),
        "auth_time": int(act.by.auth_time.timestamp()),
        "sid_h": session_commitment(salt, act.by.session_id),
        "client": shown.client,
        "app_version": shown.app_version,
        "platform": shown.platform,
        "ui_ref": shown.ui_ref,
        "claims": dict(act.claims) or None,
        "ctx": context_commitment(salt, act.origin.ip, act.origin.user_agent),
        "capacity": "unknown",
    }
    return {name: value for name, value in whole.items() if value is not None}


def context_commitment(salt: bytes, ip: str | None, user_agent: str | None) -> str:
    """SHA-256 over salt (32 bytes), address, NUL, user agent (UTF-8, empty when unknown), in hexadecimal."""
    return sha256(salt + (ip or "").encode() + b"\0" + (user_agent or "").encode()).hexdigest()


def session_commitment(salt: bytes, session_id: UUID) -> str:
    """SHA-256 over salt (32 bytes) and the session's id as text, in hexadecimal."""
    return sha256(salt + str(session_id).encode()).hexdigest()


async def receipts(world: World, by: Subject, window: Window) -> tuple[Sequence[AnyRow], str | None]:
    async with world.db.lookup() as session:
        return await page(session, _receipts.where(AgreementEvent.user_id == by.id), AgreementEvent.id, window)


async def receipt(world: World, by: Subject, event_id: UUID) -> AnyRow:
    """One of the end user's own receipts. Raises ReceiptNotFound."""
    async with world.db.lookup() as session:
        wanted = _receipts.where(AgreementEvent.id == event_id, AgreementEvent.user_id == by.id)
        row = (await session.execute(wanted)).one_or_none()
    if row is None:
        raise ReceiptNotFound
    return row
