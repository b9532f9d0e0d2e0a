"""Reading the ledger with suspicion: every text, every chain from its first receipt to its head, every state, every seal. What is found
first is named; nothing is mended here. Batches of rows, judged off the event loop, keep memory and other requests as they are."""

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
    """What was read, and the first thing that is broken. `unsealed`: events that no seal holds yet, which only their chain protects."""

    broken: IntegrityFault | None = None
    users: int = 0
    events: int = 0
    texts: int = 0
    seals: int = 0
    unsealed: int = 0


async def verify(world: World, user_id: UUID | None) -> LedgerReport:
    """Read everything, or what one end user's evidence stands on, in one snapshot. Raises UserNotFound."""
    report = LedgerReport()
    async with world.db.read() as tx:
        if user_id is not None and await tx.scalar(select(User.id).where(User.id == user_id)) is None:
            raise UserNotFound
        keys = await read_signer(tx, world)
        for step in _STEPS:
            report = await step(tx, keys, user_id, report)
            if report.broken is not None:
                break
    return report


async def _chains(tx: Transaction, keys: Signer, user_id: UUID | None, report: LedgerReport) -> LedgerReport:
    texts, bad = await _read_texts(tx, user_id)
    walk, broken, states = ChainVerifier(keys, bad), None, dict[UUID, Sequence[AnyRow]]()
    last: AnyRow | None = None
    while broken is None and (rows := await _batch(tx, user_id, last)):
        # From the last user of the batch before, whose chain may have ended there.
        states = await _stored(tx, (last or rows[0]).user_id, rows[-1].user_id)
        broken = await asyncio.to_thread(walk.take, rows, states)
        last = rows[-1]
    broken = broken or walk.end(states) or await _wiped(tx, user_id)
    if broken is None and bad:
        text, what = next(iter(bad.items()))
        broken = IntegrityFault(what, text=text)
    return replace(report, broken=broken, users=walk.users, events=walk.events, texts=texts)


async def _batch(tx: Transaction, user_id: UUID | None, after: AnyRow | None) -> Sequence[AnyRow]:
    statement = _events
    if after is not None:
        statement = statement.where(tuple_(AgreementEvent.user_id, AgreementEvent.seq) > tuple_(after.user_id, after.seq))
    if user_id is not None:
        statement = statement.where(AgreementEvent.user_id == user_id)
    return (await tx.execute(statement)).all()


async def _stored(tx: Transaction, first: UUID, last: UUID) -> dict[UUID, Sequence[AnyRow]]:
    """The states of the users from the first to the last."""
    found: dict[UUID, list[AnyRow]] = {}
    for state in await tx.execute(_states.where(AgreementState.user_id.between(first, last))):
        found.setdefault(state.user_id, []).append(state)
    return dict(found)


async def _read_texts(tx: Transaction, user_id: UUID | None) -> tuple[int, dict[UUID, str]]:
    """How many texts there are, and which are not as they were hashed."""
    wanted, bad, count, last = _texts, dict[UUID, str](), 0, UUID(int=0)
    if user_id is not None:
        wanted = wanted.where(AgreementText.id.in_(select(AgreementEvent.text_id).where(AgreementEvent.user_id == user_id)))
    while rows := (await tx.execute(wanted.where(AgreementText.id > last))).all():
        faults = await asyncio.to_thread(lambda rows=rows: [_text_fault(row) for row in rows])  # type: ignore[misc]
        bad |= {row.id: fault for row, fault in zip(rows, faults, strict=True) if fault is not None}
        count, last = count + len(rows), rows[-1].id
    return count, bad


def _text_fault(row: AnyRow) -> str | None:
    """Which hash is not that of the words, or has none to be of: all forms are kept of what was published."""
    lost = next((form for form in ("html", "plain") if row._mapping[form] is None), None)
    if lost is not None and row.status not in {None, VersionStatus.DRAFT}:
        return f"{lost}_sha256"
    return proofs.find_text_mismatch(row._asdict())


async def _wiped(tx: Transaction, user_id: UUID | None) -> IntegrityFault | None:
    """An end user whose ledger or state tells of events, of which there is none."""
    for model, known, what in ((AgreementLedger, AgreementLedger.seq > 0, "missing"), (AgreementState, None, "state")):
        theirs = table(model).columns.user_id
        wiped = select(theirs).where(~exists().where(AgreementEvent.user_id == theirs)).order_by(theirs).limit(1)
        wiped = wiped if known is None else wiped.where(known)
        wiped = wiped if user_id is None else wiped.where(theirs == user_id)
        if (found := await tx.scalar(wiped)) is not None:
            return IntegrityFault(what, user=found, seq=1 if what == "missing" else None)
    return None


async def _sealed(tx: Transaction, keys: Signer, user_id: UUID | None, report: LedgerReport) -> LedgerReport:
    """Every seal in order, each over the leaves that were kept of it, and these against the receipts as they are now. Of one end user:
    the seals that hold any of theirs, and of those only their receipts, for nobody else's breaks what theirs prove."""
    wanted, n, prev, count = _seals, 0, None, 0
    if user_id is not None:
        items = select(AgreementSealItem.seal_n).outerjoin(AgreementEvent, AgreementEvent.id == AgreementSealItem.event_id)
        theirs = or_(AgreementSealItem.user_id == user_id, AgreementEvent.user_id == user_id)
        wanted = wanted.where(AgreementSeal.n.in_(items.where(theirs)))
    while (row := (await tx.execute(wanted.where(AgreementSeal.n > n))).one_or_none()) is not None:
        if user_id is None and row.n != n + 1:
            return replace(report, broken=IntegrityFault("missing", seal=n + 1), seals=count)
        leaves = (await tx.execute(_leaves.where(AgreementSealItem.seal_n == row.n))).all()
        prev = prev if user_id is None else row.prev_sha256
        broken = await asyncio.to_thread(lambda: _seal_fault(row, prev, keys) or _leaf_fault(row, leaves, user_id))  # noqa: B023  awaited
        if broken is not None:
            return replace(report, broken=broken, seals=count)
        n, prev, count = row.n, row.seal_sha256, count + 1
    left = select(func.count()).select_from(AgreementEvent).where(~exists().where(AgreementSealItem.event_id == AgreementEvent.id))
    left = left if user_id is None else left.where(AgreementEvent.user_id == user_id)
    return replace(report, seals=count, unsealed=int(await tx.scalar(left) or 0))


def _seal_fault(row: AnyRow, prev: str | None, keys: Signer) -> IntegrityFault | None:
    try:
        claims = keys.read(SEAL, row.seal)
    except InvalidToken:
        return IntegrityFault("signature", seal=row.n)
    told = {"n": row.n, "count": row.leaves, "root": row.root, "prev": row.prev_sha256}
    told["at"] = instant_text(row.sealed_at)
    wrong = [name for name, value in told.items() if claims.get(name) != value]
    wrong += ["prev"] * (row.prev_sha256 != prev) + ["seal_sha256"] * (digest(row.seal) != row.seal_sha256)
    wrong = ["sealed_at" if name == "at" else name for name in wrong]
    return IntegrityFault(wrong[0], seal=row.n) if wrong else None


def _leaf_fault(row: AnyRow, leaves: Sequence[AnyRow], user_id: UUID | None) -> IntegrityFault | None:
    for place, leaf in enumerate(leaves):
        if leaf.leaf != place:
            return IntegrityFault("missing", seal=row.n, leaf=place)
        if user_id in {None, leaf.user_id, leaf.of} and (what := _receipt_fault(leaf)) is not None:
            return IntegrityFault(what, seal=row.n, leaf=place, event=leaf.event_id)
    if len(leaves) != row.leaves:
        return IntegrityFault("missing", seal=row.n, leaf=len(leaves))
    kept = merkle.root([_octets(leaf.leaf_sha256) for leaf in leaves]).hex()
    anew = merkle.root([merkle.leaf_hash((leaf.receipt or "").encode()) for leaf in leaves]).hex()
    return None if row.root == kept or (user_id is not None and row.root == anew) else IntegrityFault("root", seal=row.n)


def _receipt_fault(leaf: AnyRow) -> str | None:
    """What of a kept leaf is not that of the receipt as it is now."""
    if leaf.receipt is None:
        return "missing"
    if leaf.of != leaf.user_id:
        return "user_id"
    return "leaf_sha256" if merkle.leaf_hash(leaf.receipt.encode()).hex() != leaf.leaf_sha256 else None


def _octets(text: str) -> bytes:
    """Of a kept hash; whatever is none comes to no root."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


_STEPS: Sequence[Callable[[Transaction, Signer, UUID | None, LedgerReport], Awaitable[LedgerReport]]] = (_chains, _sealed)
