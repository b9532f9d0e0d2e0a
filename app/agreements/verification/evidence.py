"""Builds an end user's evidence as a signed bundle for offline verification, sets its legal hold, and erases contexts (agreements R25)."""

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
from app.agreements.problems import LedgerSealBroken, LegalHold
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

Json = dict[str, Any]

_lock_presentations = (
    select(AgreementPresentation.id)
    .where(AgreementPresentation.user_id == bindparam("whose"))
    .with_for_update(read=True, key_share=True)  # blocks only a DELETE
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


async def build_bundle(world: World, actor: Actor, user_id: UUID) -> Json:
    """Return the end user's evidence, signed as a whole, and record that it was read. Raises UserNotFound."""
    await load_signer(world)  # creates the first key if there is none, so that the snapshot below includes it
    now = world.clock.now()
    async with world.db.read() as tx:
        await _require_user(tx, user_id)
        bundle, keys = await _collect_evidence(tx, user_id), await read_signer(tx, world)
        jwks = await list_public_keys(tx) + await list_revoked_keys(tx)
    bundle |= {"format": FORMAT, "issuer": world.settings.public_url, "user": str(user_id), "process": PROCESS}
    bundle |= {"made_at": instant_text(now), "made_by": str(actor.id) if actor.id else None, "keys": {"keys": jwks}}
    claims = {"iss": world.settings.public_url, "sub": str(user_id), "iat": int(now.timestamp()), "sha256": digest_bundle(bundle)}
    async with world.db.write() as tx:
        await record(tx, world, "evidence.read", actor, ("user", user_id), user_id, receipts=len(bundle["receipts"]))
    return {**bundle, "signature": keys.sign(BUNDLE, claims)}


async def _require_user(tx: Transaction, user_id: UUID) -> None:
    if await tx.scalar(select(User.id).where(User.id == user_id)) is None:
        raise UserNotFound


async def _collect_evidence(tx: Transaction, user_id: UUID) -> Json:
    events = (await tx.execute(_events.where(AgreementEvent.user_id == user_id))).all()
    legal_hold = await tx.scalar(select(AgreementLedger.legal_hold).where(AgreementLedger.user_id == user_id))
    text_ids = select(AgreementEvent.text_id).where(AgreementEvent.user_id == user_id)
    texts = await tx.execute(select(*table(AgreementText).columns).where(AgreementText.id.in_(text_ids)).order_by(AgreementText.id))
    version_ids = select(AgreementEvent.version_id).where(AgreementEvent.user_id == user_id)
    versions = await tx.execute(_versions.where(AgreementVersion.id.in_(version_ids)))
    receipts, broken_seals = await _prove_receipts(tx, events)
    return {
        "legal_hold": bool(legal_hold),
        "receipts": receipts,
        "broken_seals": broken_seals,
        "texts": [_select_columns(row, _TEXT + _HASHES) | {"id": str(row.id), "version": str(row.version_id)} for row in texts],
        "versions": [
            _select_columns(row, _VERSION + _DOCUMENT) | {"id": str(row.id), "document": str(row.document_id)} for row in versions
        ],
        "seals": [seal for _, seal in sorted({row.seal_n: row.seal for row in events if row.seal_n is not None}.items())],
    }


async def _prove_receipts(tx: Transaction, events: Sequence[AnyRow]) -> tuple[list[Json], list[int]]:
    """Return the receipts in order, each with its proof of inclusion, and the seals that no longer allow a proof.

    A broken seal only costs its receipts their proofs. The leaves of one seal at a time are in memory.
    """
    proofs, broken_seals = dict[UUID, Json](), list[int]()
    for n in sorted({row.seal_n for row in events if row.seal_n is not None}):
        try:
            leaves = await seals.read_leaves(tx, n)
        except LedgerSealBroken:
            broken_seals.append(n)
            continue
        for row in events:
            if row.seal_n == n and row.leaf < len(leaves):
                proof = seals.build_proof(row, leaves)
                proofs[row.id] = {"n": n, "leaf": proof.leaf, "count": proof.count, "path": list(proof.path)}
    return [_build_entry(row, proofs) for row in events], broken_seals


def _build_entry(row: AnyRow, proofs: Mapping[UUID, Json]) -> Json:
    return {
        "jws": row.receipt,
        "sha256": row.receipt_sha256,
        "grade": grade_event(row.type, (row.amr or "").split(), row.fallback),
        "inclusion": proofs.get(row.id),
        "context": _encode_context(row),
    }


def _encode_context(row: AnyRow) -> Json | None:
    if row.salt is None:
        return None
    return {"salt": row.salt.hex(), "ip": row.ip, "user_agent": row.user_agent, "session_id": str(row.session_id)}


def _select_columns(row: AnyRow, names: Iterable[str]) -> Json:
    columns = row._mapping
    return {name: instant_text(value) if isinstance(value := columns[name], datetime) else value for name in names}


async def set_legal_hold(world: World, actor: Actor, user_id: UUID, *, active: bool) -> None:
    """Put the end user's evidence under legal hold, or release it. A repeated call changes nothing. Raises UserNotFound.

    Presentations that exist when this returns are kept: it waits for a deletion that has begun, and later deletions skip them.
    """
    async with world.db.write() as tx:
        await _require_user(tx, user_id)
        await chain.lock_ledger(tx, user_id)
        other = (AgreementLedger.user_id == user_id, AgreementLedger.legal_hold.is_(not active))
        if (await tx.execute(update(table(AgreementLedger)).where(*other).values(legal_hold=active))).rowcount:
            await record(tx, world, "evidence.held" if active else "evidence.released", actor, ("user", user_id), user_id)
        if active:
            await tx.execute(_lock_presentations, {"whose": user_id})


async def erase_contexts(world: World, actor: Actor, user_id: UUID) -> int:
    """Erase IP addresses, user agents, sessions and salts of the end user's events; returns how many rows. Raises UserNotFound, LegalHold.

    The chain still verifies. Without the salts, the hashes of the context in it can no longer be checked or guessed.
    """
    async with world.db.write() as tx:
        await _require_user(tx, user_id)
        await chain.lock_ledger(tx, user_id)  # a concurrent legal hold either waits for this transaction, or is seen below
        if await tx.scalar(select(AgreementLedger.legal_hold).where(AgreementLedger.user_id == user_id)):
            raise LegalHold
        of_user = AgreementEventContext.event_id.in_(select(AgreementEvent.id).where(AgreementEvent.user_id == user_id))
        erased = (await tx.execute(delete(table(AgreementEventContext)).where(of_user))).rowcount
        if erased:
            await record(tx, world, "evidence.context_erased", actor, ("user", user_id), user_id, contexts=erased)
        return erased
