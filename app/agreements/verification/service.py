"""Verifies the whole ledger: every text, every chain up to its head, every state, every seal.

Reports the first fault and repairs nothing. Rows are read in batches and checked off the event loop, to spare memory and other requests.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import exists, func, or_, select, tuple_

from app.agreements.ledger import merkle, proofs
from app.agreements.ledger.proofs import SEAL
from app.agreements.models import (
    AgreementDocument,
    AgreementEvent,
    AgreementEventContext,
    AgreementImport,
    AgreementLedger,
    AgreementPresentation,
    AgreementSeal,
    AgreementSealItem,
    AgreementState,
    AgreementText,
    AgreementVersion,
    VersionStatus,
)
from app.agreements.rules import digest
from app.agreements.verification.chains import CONTEXT, TEXT, ChainVerifier, IntegrityFault
from app.agreements.verification.row_checks import PRESENTATION_COLUMNS
from app.base.durations import instant_text
from app.catalog.models import Product
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow, AnySelect
from app.security.signing import InvalidToken, Signer
from app.signing_keys.service import read_signer
from app.users.models import User
from app.users.problems import UserNotFound
from app.world import World

BATCH, TEXTS = 500, 20

_events: AnySelect = (
    select(
        *table(AgreementEvent).columns,
        AgreementLedger.seq.label("head_seq"),
        AgreementLedger.head,
        *(getattr(AgreementText, name).label(f"text_{name}") for name in (*TEXT, "version_id")),
        *(getattr(AgreementVersion, name).label(f"version_{name}") for name in ("document_id", "ordinal")),
        *(getattr(AgreementDocument, name).label(f"document_{name}") for name in ("kind", "region")),
        *(getattr(AgreementPresentation, name).label(f"presentation_{name}") for name in PRESENTATION_COLUMNS),
        Product.code.label("document_product"),
        AgreementImport.external_ref,
        AgreementText.id.label("there_text"),
        AgreementVersion.id.label("there_version"),
        AgreementDocument.id.label("there_document"),
        AgreementPresentation.id.label("there_presentation"),
        *(getattr(AgreementEventContext, name) for name in CONTEXT),
    )
    .outerjoin(AgreementLedger, AgreementLedger.user_id == AgreementEvent.user_id)
    .outerjoin(AgreementText, AgreementText.id == AgreementEvent.text_id)
    .outerjoin(AgreementVersion, AgreementVersion.id == AgreementEvent.version_id)
    .outerjoin(AgreementDocument, AgreementDocument.id == AgreementEvent.document_id)
    .outerjoin(Product, Product.id == AgreementDocument.product_id)
    .outerjoin(AgreementPresentation, AgreementPresentation.id == AgreementEvent.presentation_id)
    .outerjoin(AgreementImport, AgreementImport.event_id == AgreementEvent.id)
    .outerjoin(AgreementEventContext, AgreementEventContext.event_id == AgreementEvent.id)
    .order_by(AgreementEvent.user_id, AgreementEvent.seq)
    .limit(BATCH)
)
_texts: AnySelect = (
    select(*table(AgreementText).columns, AgreementVersion.status)
    .outerjoin(AgreementVersion, AgreementVersion.id == AgreementText.version_id)
    .order_by(AgreementText.id)
    .limit(TEXTS)
)
_states = select(*table(AgreementState).columns)
_seals: AnySelect = select(*table(AgreementSeal).columns, AgreementSeal.count.label("leaves")).order_by(AgreementSeal.n).limit(1)
_leaves: AnySelect = (
    select(*table(AgreementSealItem).columns, AgreementEvent.receipt, AgreementEvent.user_id.label("of"))
    .outerjoin(AgreementEvent, AgreementEvent.id == AgreementSealItem.event_id)
    .order_by(AgreementSealItem.leaf)
)


@dataclass(frozen=True)
class LedgerReport:
    """The first fault, and how much was read. `unsealed`: events that no seal includes yet, so only their chain protects them."""

    fault: IntegrityFault | None = None
    users: int = 0
    events: int = 0
    texts: int = 0
    seals: int = 0
    unsealed: int = 0


async def verify_ledger(world: World, user_id: UUID | None) -> LedgerReport:
    """Verify everything, or what one end user's evidence depends on, in one snapshot. Raises UserNotFound."""
    report = LedgerReport()
    async with world.db.read() as tx:
        if user_id is not None and await tx.scalar(select(User.id).where(User.id == user_id)) is None:
            raise UserNotFound
        keys = await read_signer(tx, world)
        for step in _STEPS:
            report = await step(tx, keys, user_id, report)
            if report.fault is not None:
                break
    return report


async def _verify_chains(tx: Transaction, keys: Signer, user_id: UUID | None, report: LedgerReport) -> LedgerReport:
    count, altered = await _verify_texts(tx, user_id)
    verifier, fault, states = ChainVerifier(keys, altered), None, dict[UUID, Sequence[AnyRow]]()
    last: AnyRow | None = None
    while fault is None and (rows := await _read_batch(tx, user_id, last)):
        # Includes the last user of the previous batch, whose chain may have ended there.
        states = await _read_states(tx, (last or rows[0]).user_id, rows[-1].user_id)
        fault = await asyncio.to_thread(verifier.verify_batch, rows, states)
        last = rows[-1]
    fault = fault or verifier.finish_chain(states) or await _find_deleted_chain(tx, user_id)
    if fault is None and altered:
        text_id, what = next(iter(altered.items()))
        fault = IntegrityFault(what, text=text_id)
    return replace(report, fault=fault, users=verifier.users, events=verifier.events, texts=count)


async def _read_batch(tx: Transaction, user_id: UUID | None, after: AnyRow | None) -> Sequence[AnyRow]:
    statement = _events
    if after is not None:
        statement = statement.where(tuple_(AgreementEvent.user_id, AgreementEvent.seq) > tuple_(after.user_id, after.seq))
    if user_id is not None:
        statement = statement.where(AgreementEvent.user_id == user_id)
    return (await tx.execute(statement)).all()


async def _read_states(tx: Transaction, first: UUID, last: UUID) -> dict[UUID, Sequence[AnyRow]]:
    """Return the states of the users from the first to the last."""
    states: dict[UUID, list[AnyRow]] = {}
    for state in await tx.execute(_states.where(AgreementState.user_id.between(first, last))):
        states.setdefault(state.user_id, []).append(state)
    return dict(states)


async def _verify_texts(tx: Transaction, user_id: UUID | None) -> tuple[int, dict[UUID, str]]:
    """Return how many texts there are, and the altered ones with the hash that differs."""
    query, altered, count, last = _texts, dict[UUID, str](), 0, UUID(int=0)
    if user_id is not None:
        query = query.where(AgreementText.id.in_(select(AgreementEvent.text_id).where(AgreementEvent.user_id == user_id)))
    while rows := (await tx.execute(query.where(AgreementText.id > last))).all():
        faults = await asyncio.to_thread(_find_text_faults, rows)
        altered |= faults
        count, last = count + len(rows), rows[-1].id
    return count, altered


def _find_text_faults(rows: Sequence[AnyRow]) -> dict[UUID, str]:
    return {row.id: fault for row in rows if (fault := _find_text_fault(row)) is not None}


def _find_text_fault(row: AnyRow) -> str | None:
    """Return the hash that does not match, or whose form is missing: published texts keep all their forms."""
    missing = next((form for form in ("html", "plain") if row._mapping[form] is None), None)
    if missing is not None and row.status not in {None, VersionStatus.DRAFT}:
        return f"{missing}_sha256"
    return proofs.find_text_mismatch(row._asdict())


async def _find_deleted_chain(tx: Transaction, user_id: UUID | None) -> IntegrityFault | None:
    """Return a fault for a user whose ledger or state requires events although there is none."""
    for model, condition, what in ((AgreementLedger, AgreementLedger.seq > 0, "missing"), (AgreementState, None, "state")):
        owner = table(model).columns.user_id
        query = select(owner).where(~exists().where(AgreementEvent.user_id == owner)).order_by(owner).limit(1)
        query = query if condition is None else query.where(condition)
        query = query if user_id is None else query.where(owner == user_id)
        if (deleted := await tx.scalar(query)) is not None:
            return IntegrityFault(what, user=deleted, seq=1 if what == "missing" else None)
    return None


async def _verify_seals(tx: Transaction, keys: Signer, user_id: UUID | None, report: LedgerReport) -> LedgerReport:
    """Verify every seal in order over its stored leaves, and the leaves against the present receipts.

    For one end user: only the seals that include receipts of this user, and in them only these receipts; a fault of another user's
    receipt does not affect what they prove.
    """
    query, n, prev, count = _seals, 0, None, 0
    if user_id is not None:
        items = select(AgreementSealItem.seal_n).outerjoin(AgreementEvent, AgreementEvent.id == AgreementSealItem.event_id)
        of_user = or_(AgreementSealItem.user_id == user_id, AgreementEvent.user_id == user_id)
        query = query.where(AgreementSeal.n.in_(items.where(of_user)))
    while (row := (await tx.execute(query.where(AgreementSeal.n > n))).one_or_none()) is not None:
        if user_id is None and row.n != n + 1:
            return replace(report, fault=IntegrityFault("missing", seal=n + 1), seals=count)
        leaves = (await tx.execute(_leaves.where(AgreementSealItem.seal_n == row.n))).all()
        prev = prev if user_id is None else row.prev_sha256
        fault = await asyncio.to_thread(_find_seal_fault, row, prev, keys)
        fault = fault or await asyncio.to_thread(_find_leaf_fault, row, leaves, user_id)
        if fault is not None:
            return replace(report, fault=fault, seals=count)
        n, prev, count = row.n, row.seal_sha256, count + 1
    unsealed = select(func.count()).select_from(AgreementEvent).where(~exists().where(AgreementSealItem.event_id == AgreementEvent.id))
    unsealed = unsealed if user_id is None else unsealed.where(AgreementEvent.user_id == user_id)
    return replace(report, seals=count, unsealed=int(await tx.scalar(unsealed) or 0))


def _find_seal_fault(row: AnyRow, prev: str | None, keys: Signer) -> IntegrityFault | None:
    try:
        claims = keys.read(SEAL, row.seal)
    except InvalidToken:
        return IntegrityFault("signature", seal=row.n)
    columns = {"n": row.n, "count": row.leaves, "root": row.root, "prev": row.prev_sha256, "at": instant_text(row.sealed_at)}
    wrong = ["sealed_at" if name == "at" else name for name, value in columns.items() if claims.get(name) != value]
    wrong += ["prev"] * (row.prev_sha256 != prev) + ["seal_sha256"] * (digest(row.seal) != row.seal_sha256)
    return IntegrityFault(wrong[0], seal=row.n) if wrong else None


def _find_leaf_fault(row: AnyRow, leaves: Sequence[AnyRow], user_id: UUID | None) -> IntegrityFault | None:
    for place, leaf in enumerate(leaves):
        if leaf.leaf != place:
            return IntegrityFault("missing", seal=row.n, leaf=place)
        if user_id in {None, leaf.user_id, leaf.of} and (what := _find_receipt_fault(leaf)) is not None:
            return IntegrityFault(what, seal=row.n, leaf=place, event=leaf.event_id)
    if len(leaves) != row.leaves:
        return IntegrityFault("missing", seal=row.n, leaf=len(leaves))
    stored = merkle.compute_root([_decode_hash(leaf.leaf_sha256) for leaf in leaves]).hex()
    computed = merkle.compute_root([merkle.hash_leaf((leaf.receipt or "").encode()) for leaf in leaves]).hex()
    is_sound = row.root == stored or (user_id is not None and row.root == computed)
    return None if is_sound else IntegrityFault("root", seal=row.n)


def _find_receipt_fault(leaf: AnyRow) -> str | None:
    """Return the name of the value in a stored leaf that does not match the receipt, or None."""
    if leaf.receipt is None:
        return "missing"
    if leaf.of != leaf.user_id:
        return "user_id"
    return "leaf_sha256" if merkle.hash_leaf(leaf.receipt.encode()).hex() != leaf.leaf_sha256 else None


def _decode_hash(text: str) -> bytes:
    """Decode a stored hash. Text that is not a hash becomes empty, which gives a wrong root."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


_STEPS: Sequence[Callable[[Transaction, Signer, UUID | None, LedgerReport], Awaitable[LedgerReport]]] = (_verify_chains, _verify_seals)
