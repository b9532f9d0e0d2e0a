"""Seals: at intervals, all unsealed events become the leaves of a Merkle tree, whose root is signed and chained to the previous seal.

A deleted end of a chain, or a deleted end user, then leaves a visible gap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import exists, insert, select

from app.agreements.ledger import merkle
from app.agreements.ledger.proofs import SEAL
from app.agreements.models import AgreementEvent, AgreementSeal, AgreementSealItem
from app.agreements.problems import AgreementEventNotFound, LedgerSealBroken, NotSealedYet, ReceiptNotFound
from app.agreements.rules import digest
from app.base.durations import instant_text
from app.base.problems import Malformed
from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow, AnySelect
from app.signing_keys.service import load_signer
from app.web.callers import Subject
from app.web.paging import PageWindow
from app.world import World

BATCH = 4096
LATE = 10 * 60 * 1000
"""Milliseconds by which an event may be committed after events with higher ids, and still be found without a sweep."""

OVERDUE = timedelta(days=1)
"""If an event is unsealed for longer, no process creates seals."""

_DIGITS = 9
"""Digits of a seal's number: enough for thirty years at one seal a second."""

_unsealed: AnySelect = select(AgreementEvent.id, AgreementEvent.user_id, AgreementEvent.receipt).where(
    ~exists().where(AgreementSealItem.event_id == AgreementEvent.id)
)
_last = select(AgreementSeal.n, AgreementSeal.seal_sha256).order_by(AgreementSeal.n.desc()).limit(1)
_newest = select(AgreementSealItem.event_id).order_by(AgreementSealItem.event_id.desc()).limit(1)
_newest_leaf = select(AgreementSealItem.seal_n).order_by(AgreementSealItem.seal_n.desc()).limit(1)
_first = select(AgreementEvent.at).order_by(AgreementEvent.id).limit(1)
_leaves = (
    select(AgreementSealItem.leaf, AgreementSealItem.leaf_sha256, AgreementEvent.receipt)
    .outerjoin(AgreementEvent, AgreementEvent.id == AgreementSealItem.event_id)
    .order_by(AgreementSealItem.leaf)
)
_root = select(AgreementSeal.root)
_place: AnySelect = (
    select(AgreementEvent.id, AgreementEvent.receipt, AgreementSealItem.seal_n, AgreementSealItem.leaf, AgreementSeal.seal)
    .outerjoin(AgreementSealItem, AgreementSealItem.event_id == AgreementEvent.id)
    .outerjoin(AgreementSeal, AgreementSeal.n == AgreementSealItem.seal_n)
)


@dataclass(frozen=True)
class InclusionProof:
    """The proof that a receipt is a leaf of a seal: `path` from the leaf upwards, in hexadecimal (RFC 9162 section 2.1.3)."""

    seal: str
    n: int
    leaf: int
    count: int
    path: tuple[str, ...]


async def seal_events(world: World, *, sweep: bool = False) -> int:
    """Seal at most `BATCH` unsealed events, oldest first. Return how many; 0 also if another replica was faster.

    Transactions commit in another order than they began, so unsealed events are found by their missing seal, not by time. To avoid
    reading all events each time, only ids from ten minutes before the newest sealed one are searched. A `sweep` searches all, and
    finds events that were committed even later. The insert of seal n decides between replicas: events that were unsealed in a
    snapshot with seal n - 1 are still unsealed for the replica that inserts seal n.
    """
    keys, now = await load_signer(world), world.clock.now()
    async with world.db.read() as tx:
        last = (await tx.execute(_last)).one_or_none()
        query = _unsealed if sweep else await _recent_unsealed(tx)
        events = (await tx.execute(query.order_by(AgreementEvent.id).limit(BATCH))).all()
    if not events:
        return 0
    n, prev = (last.n + 1, last.seal_sha256) if last is not None else (1, None)
    leaves = [merkle.hash_leaf(row.receipt.encode()) for row in events]
    root = merkle.compute_root(leaves).hex()
    claims = {"iss": world.settings.public_url, "n": n, "count": len(events), "root": root, "prev": prev}
    seal = keys.sign(SEAL, {**claims, "iat": int(now.timestamp()), "at": instant_text(now)})
    row = {"n": n, "count": len(events), "root": root, "prev_sha256": prev, "sealed_at": now, "seal": seal}
    async with world.db.write() as tx:
        if not await dialect.insert_once(tx, AgreementSeal, {**row, "seal_sha256": digest(seal)}, unless=["n"]):
            return 0
        items = [
            {"event_id": event.id, "seal_n": n, "leaf": place, "leaf_sha256": leaves[place].hex(), "user_id": event.user_id}
            for place, event in enumerate(events)
        ]
        await tx.execute(insert(table(AgreementSealItem)), items)
    return len(events)


async def is_newest_missing(world: World) -> bool:
    """Return whether the newest seal was deleted: its leaves still exist, or there is no seal although an event is older than a day.

    Useful only at the start of a process: the next seal takes the number of the deleted one.
    """
    async with world.db.read() as tx:
        last = (await tx.execute(_last)).one_or_none()
        leaf = await tx.scalar(_newest_leaf)
        first = await tx.scalar(_first)
    if last is None:
        return leaf is not None or (first is not None and first < world.clock.now() - OVERDUE)
    return leaf is not None and leaf > last.n


async def _recent_unsealed(tx: Transaction) -> AnySelect:
    newest = await tx.scalar(_newest)
    return _unsealed if newest is None else _unsealed.where(AgreementEvent.id >= _lowest_recent_id(newest))


def _lowest_recent_id(event_id: UUID) -> UUID:
    """Return the lowest UUIDv7 of `LATE` earlier (RFC 9562 section 5.7: the first 48 bits are milliseconds)."""
    return UUID(int=max(0, (event_id.int >> 80) - LATE) << 80)


async def list_seals(world: World, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    """Return the seals of the window, newest first. The cursor is the number of the last one returned. Raises Malformed."""
    statement = select(*table(AgreementSeal).columns).order_by(AgreementSeal.n.desc()).limit(window.limit + 1)
    if window.cursor is not None:
        statement = statement.where(AgreementSeal.n < _parse_cursor(window.cursor))
    async with world.db.query() as tx:
        rows = (await tx.execute(statement)).all()
    return rows[: window.limit], str(rows[window.limit - 1].n) if len(rows) > window.limit else None


def _parse_cursor(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _DIGITS):
        raise Malformed([("query:cursor", "invalid_cursor", "must be a `next_cursor` of this list")])
    return int(cursor)


async def prove_own_inclusion(world: World, subject: Subject, event_id: UUID) -> InclusionProof:
    """Return the proof for one of the end user's own receipts. Raises ReceiptNotFound, NotSealedYet, LedgerSealBroken."""
    async with world.db.read() as tx:
        row = (await tx.execute(_place.where(AgreementEvent.id == event_id, AgreementEvent.user_id == subject.id))).one_or_none()
        if row is None:
            raise ReceiptNotFound
        return await _prove(tx, row)


async def prove_inclusion(world: World, event_id: UUID) -> InclusionProof:
    """Return the proof for any event. Raises AgreementEventNotFound, NotSealedYet, LedgerSealBroken."""
    async with world.db.read() as tx:
        row = (await tx.execute(_place.where(AgreementEvent.id == event_id))).one_or_none()
        if row is None:
            raise AgreementEventNotFound
        return await _prove(tx, row)


async def _prove(tx: Transaction, row: AnyRow) -> InclusionProof:
    if row.seal is None:
        raise NotSealedYet
    leaves = await read_leaves(tx, row.seal_n)
    if row.leaf >= len(leaves) or leaves[row.leaf] != merkle.hash_leaf(row.receipt.encode()):
        raise LedgerSealBroken(facts={"seal": row.seal_n})
    return build_proof(row, leaves)


def build_proof(row: AnyRow, leaves: Sequence[bytes]) -> InclusionProof:
    """Build the proof of one leaf. `row` has `seal`, `seal_n` and `leaf`, the place of the leaf among `leaves`."""
    path = merkle.build_path(leaves, row.leaf)
    return InclusionProof(row.seal, row.seal_n, row.leaf, len(leaves), tuple(each.hex() for each in path))


async def read_leaves(tx: Transaction, n: int) -> list[bytes]:
    """Return the leaf hashes that give the root of seal n, in order. Raises LedgerSealBroken.

    These are the stored hashes, even if receipts were changed later; or, if the stored hashes were changed, those of the receipts.
    """
    root = await tx.scalar(_root.where(AgreementSeal.n == n))
    rows = (await tx.execute(_leaves.where(AgreementSealItem.seal_n == n))).all()
    for hashes in (_decode_stored_hashes, _hash_receipts):
        leaves = hashes(rows)
        if leaves and merkle.compute_root(leaves).hex() == root:
            return leaves
    raise LedgerSealBroken(facts={"seal": n})


def _decode_stored_hashes(rows: Sequence[AnyRow]) -> list[bytes]:
    try:
        return [bytes.fromhex(row.leaf_sha256) for row in rows]
    except ValueError:
        return []


def _hash_receipts(rows: Sequence[AnyRow]) -> list[bytes]:
    return [merkle.hash_leaf(row.receipt.encode()) for row in rows if row.receipt is not None]
