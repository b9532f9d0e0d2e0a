"""Everything that proves what one end user agreed to, as one signed document that stands without us; and the two things an operator
may do to it: set_legal_hold it, or erase_contexts where the acts came from (agreements R25)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, select, update

from app.agreements.grades import grade_event
from app.agreements.ledger import chain, seals
from app.agreements.ledger.proofs import BUNDLE
from app.agreements.models import (
    AgreementDocument,
    AgreementEvent,
    AgreementEventContext,
    AgreementLedger,
    AgreementPresentation,
    AgreementSeal,
    AgreementSealItem,
    AgreementText,
    AgreementVersion,
)
from app.agreements.problems import LegalHold, SealBroken
from app.agreements.verification.bundles import FORMAT, PROCESS, digest_bundle
from app.base.durations import instant_text
from app.catalog.models import Product
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow, AnySelect
from app.events.service import Actor, record
from app.signing_keys.service import list_public_keys, list_revoked_keys, load_signer, read_signer
from app.users.models import User
from app.users.problems import UserNotFound
from app.world import World

Told = dict[str, Any]

_showings = (
    select(AgreementPresentation.id)
    .where(AgreementPresentation.user_id == bindparam("whose"))
    .with_for_update(read=True, key_share=True)  # in the way of a DELETE alone
)

_TEXT = ("locale", "title", "body", "html", "plain", "summary", "changes", "statement", "accept_label", "decline_label")
_HASHES = ("sha256", "html_sha256", "plain_sha256", "statement_sha256")
_VERSION = ("ordinal", "label", "change_class", "status", "effective_at", "grace_until", "published_at", "cancelled_at")
_DOCUMENT = ("product", "kind", "region", "name", "default_locale", "minors")

_events: AnySelect = (
    select(
        *table(AgreementEvent).columns,
        AgreementSealItem.seal_n,
        AgreementSealItem.leaf,
        AgreementSeal.seal,
        AgreementEventContext.salt,
        AgreementEventContext.ip,
        AgreementEventContext.user_agent,
        AgreementEventContext.session_id,
    )
    .outerjoin(AgreementSealItem, AgreementSealItem.event_id == AgreementEvent.id)
    .outerjoin(AgreementSeal, AgreementSeal.n == AgreementSealItem.seal_n)
    .outerjoin(AgreementEventContext, AgreementEventContext.event_id == AgreementEvent.id)
    .order_by(AgreementEvent.seq)
)
_versions: AnySelect = (
    select(*table(AgreementVersion).columns, AgreementDocument.kind, AgreementDocument.region, AgreementDocument.name)
    .add_columns(AgreementDocument.default_locale, AgreementDocument.minors, Product.code.label("product"))
    .join(AgreementDocument, AgreementDocument.id == AgreementVersion.document_id)
    .join(Product, Product.id == AgreementDocument.product_id)
    .order_by(AgreementVersion.id)
)


async def build_bundle(world: World, actor: Actor, user_id: UUID) -> Told:
    """The end user's evidence, signed as a whole. The reading of it is an event of its own. Raises UserNotFound."""
    await load_signer(world)  # the first key, if there is none: the snapshot below has it then
    now = world.clock.now()
    async with world.db.read() as tx:
        await _known(tx, user_id)
        whole, keys = await _gathered(tx, user_id), await read_signer(tx, world)
        jwks = await list_public_keys(tx) + await list_revoked_keys(tx)
    whole |= {"format": FORMAT, "issuer": world.settings.public_url, "user": str(user_id), "process": PROCESS}
    whole |= {"made_at": instant_text(now), "made_by": str(actor.id) if actor.id else None, "keys": {"keys": jwks}}
    claims = {"iss": world.settings.public_url, "sub": str(user_id), "iat": int(now.timestamp()), "sha256": digest_bundle(whole)}
    async with world.db.write() as tx:
        await record(tx, world, "evidence.read", actor, ("user", user_id), user_id, receipts=len(whole["receipts"]))
    return {**whole, "signature": keys.sign(BUNDLE, claims)}


async def _known(tx: Transaction, user_id: UUID) -> None:
    if await tx.scalar(select(User.id).where(User.id == user_id)) is None:
        raise UserNotFound


async def _gathered(tx: Transaction, user_id: UUID) -> Told:
    events = (await tx.execute(_events.where(AgreementEvent.user_id == user_id))).all()
    held = await tx.scalar(select(AgreementLedger.legal_hold).where(AgreementLedger.user_id == user_id))
    named = select(AgreementEvent.text_id).where(AgreementEvent.user_id == user_id)
    texts = await tx.execute(select(*table(AgreementText).columns).where(AgreementText.id.in_(named)).order_by(AgreementText.id))
    named = select(AgreementEvent.version_id).where(AgreementEvent.user_id == user_id)
    versions = await tx.execute(_versions.where(AgreementVersion.id.in_(named)))
    receipts, broken = await _receipts(tx, events)
    return {
        "legal_hold": bool(held),
        "receipts": receipts,
        "broken_seals": broken,
        "texts": [_part(row, _TEXT + _HASHES) | {"id": str(row.id), "version": str(row.version_id)} for row in texts],
        "versions": [_part(row, _VERSION + _DOCUMENT) | {"id": str(row.id), "document": str(row.document_id)} for row in versions],
        "seals": [seal for _, seal in sorted({row.seal_n: row.seal for row in events if row.seal_n is not None}.items())],
    }


async def _receipts(tx: Transaction, events: Sequence[AnyRow]) -> tuple[list[Told], list[int]]:
    """In order, each with the proof that a seal holds it; and the seals that no proof can be had of any more, which refuses nothing of
    the rest. The leaves of one seal at a time are in memory."""
    rows, proofs, broken = list(events), dict[UUID, Told](), list[int]()
    for n in sorted({row.seal_n for row in rows if row.seal_n is not None}):
        try:
            leaves = await seals.read_leaves(tx, n)
        except SealBroken:
            broken.append(n)
            continue
        for row in rows:
            if row.seal_n == n and row.leaf < len(leaves):
                proof = seals.build_proof(row, leaves)
                proofs[row.id] = {"n": n, "leaf": proof.leaf, "count": proof.count, "path": list(proof.path)}
    return [_entry(row, proofs) for row in rows], broken


def _entry(row: AnyRow, proofs: Mapping[UUID, Told]) -> Told:
    return {
        "jws": row.receipt,
        "sha256": row.receipt_sha256,
        "grade": grade_event(row.type, (row.amr or "").split(), row.fallback),
        "inclusion": proofs.get(row.id),
        "context": _where_from(row),
    }


def _where_from(row: AnyRow) -> Told | None:
    if row.salt is None:
        return None
    return {"salt": row.salt.hex(), "ip": row.ip, "user_agent": row.user_agent, "session_id": str(row.session_id)}


def _part(row: AnyRow, names: Iterable[str]) -> Told:
    found = row._mapping
    return {name: instant_text(value) if isinstance(value := found[name], datetime) else value for name in names}


async def set_legal_hold(world: World, actor: Actor, user_id: UUID, *, held: bool) -> None:
    """Put the end user's evidence under legal set_legal_hold, or release it. Doing so twice changes nothing. Raises UserNotFound.

    What is there when this ends stays: a sweep of old showings that has begun is waited for, one that begins passes them by.
    """
    async with world.db.write() as tx:
        await _known(tx, user_id)
        await chain.lock_ledger(tx, user_id)
        other = (AgreementLedger.user_id == user_id, AgreementLedger.legal_hold.is_(not held))
        if (await tx.execute(update(table(AgreementLedger)).where(*other).values(legal_hold=held))).rowcount:
            await record(tx, world, "evidence.held" if held else "evidence.released", actor, ("user", user_id), user_id)
        if held:
            await tx.execute(_showings, {"whose": user_id})


async def erase_contexts(world: World, actor: Actor, user_id: UUID) -> int:
    """Erase where the end user's acts came from: addresses, agents, sessions, salts; how many rows. The chain verifies as before,
    and the commitments in it can never be opened again. Raises UserNotFound, LegalHold."""
    async with world.db.write() as tx:
        await _known(tx, user_id)
        await chain.lock_ledger(tx, user_id)  # whoever puts it under set_legal_hold meanwhile waits, or was first
        if await tx.scalar(select(AgreementLedger.legal_hold).where(AgreementLedger.user_id == user_id)):
            raise LegalHold
        theirs = AgreementEventContext.event_id.in_(select(AgreementEvent.id).where(AgreementEvent.user_id == user_id))
        erased = (await tx.execute(delete(table(AgreementEventContext)).where(theirs))).rowcount
        if erased:
            await record(tx, world, "evidence.context_erased", actor, ("user", user_id), user_id, contexts=erased)
        return erased
