"""Seals: every so often all events that no seal holds yet become the leaves of a Merkle tree, whose root is signed and chained to the
seal before it. So a chain that lost its end, and an end user who was wiped out, leave a gap that can be seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import exists, insert, select

from app.agreements.ledger import merkle
from app.agreements.ledger.proofs import SEAL
from app.agreements.models import AgreementEvent, AgreementSeal, AgreementSealItem
from app.agreements.problems import AgreementEventNotFound, NotSealedYet, ReceiptNotFound, SealBroken
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
"""Milliseconds by which an event may be committed after one with a later id, and still be found without a sweep."""

OVERDUE = timedelta(days=1)
"""No event waits that long for a seal, unless nobody seals."""

_DIGITS = 9
"""Of a seal's number; at one a second they last for thirty years."""

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
    """Seal at most `BATCH` events that no seal holds, the oldest first; how many. 0 also when another replica was faster.

    What is unsealed is asked of the rows, never of the time: transactions commit in another order than they began. So that this
    need not read all there is, only ids from ten minutes before the newest sealed one are looked at; a `sweep` looks at all, and
    finds what was committed later still. The insert of seal n is the guard between replicas: what was seen unsealed in one snapshot
    with seal n - 1 is unsealed for whoever inserts seal n.
    """
    keys, now = await load_signer(world), world.clock.now()
    async with world.db.read() as tx:
        last = (await tx.execute(_last)).one_or_none()
        found = _unsealed if sweep else await _recent(tx)
        events = (await tx.execute(found.order_by(AgreementEvent.id).limit(BATCH))).all()
    if not events:
        return 0
    n, prev = (last.n + 1, last.seal_sha256) if last is not None else (1, None)
    leaves = [merkle.leaf_hash(row.receipt.encode()) for row in events]
    root = merkle.root(leaves).hex()
    claims = {"iss": world.settings.public_url, "n": n, "count": len(events), "root": root, "prev": prev}
    sealed = keys.sign(SEAL, {**claims, "iat": int(now.timestamp()), "at": instant_text(now)})
    row = {"n": n, "count": len(events), "root": root, "prev_sha256": prev, "sealed_at": now, "seal": sealed}
    async with world.db.write() as tx:
        if not await dialect.insert_once(tx, AgreementSeal, {**row, "seal_sha256": digest(sealed)}, unless=["n"]):
            return 0
        items = [
            {"event_id": event.id, "seal_n": n, "leaf": place, "leaf_sha256": leaves[place].hex(), "user_id": event.user_id}
            for place, event in enumerate(events)
        ]
        await tx.execute(insert(table(AgreementSealItem)), items)
    return len(events)


async def is_newest_missing(world: World) -> bool:
    """Whether the newest seal was removed: there is none, and the first event is older than a day; or its leaves are there still.

    For the start alone: from then on the place of what was removed is taken.
    """
    async with world.db.read() as tx:
        last = (await tx.execute(_last)).one_or_none()
        leaf = await tx.scalar(_newest_leaf)
        first = await tx.scalar(_first)
    if last is None:
        return leaf is not None or (first is not None and first < world.clock.now() - OVERDUE)
    return leaf is not None and leaf > last.n


async def _recent(tx: Transaction) -> AnySelect:
    newest = await tx.scalar(_newest)
    return _unsealed if newest is None else _unsealed.where(AgreementEvent.id >= _earlier(newest))


def _earlier(event_id: UUID) -> UUID:
    """The least UUIDv7 of `LATE` before this one (RFC 9562 section 5.7: 48 bits of milliseconds come first)."""
    return UUID(int=max(0, (event_id.int >> 80) - LATE) << 80)


async def list_seals(world: World, wanted: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    """The seals of the window, the latest first. The cursor is the number of the last one shown. Raises Malformed."""
    statement = select(*table(AgreementSeal).columns).order_by(AgreementSeal.n.desc()).limit(wanted.limit + 1)
    if wanted.cursor is not None:
        statement = statement.where(AgreementSeal.n < _number(wanted.cursor))
    async with world.db.query() as tx:
        rows = (await tx.execute(statement)).all()
    return rows[: wanted.limit], str(rows[wanted.limit - 1].n) if len(rows) > wanted.limit else None


def _number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _DIGITS):
        raise Malformed([("query:cursor", "invalid_cursor", "is not a cursor of this list")])
    return int(cursor)


async def prove_own_inclusion(world: World, subject: Subject, event_id: UUID) -> InclusionProof:
    """The proof for one of the end user's own receipts. Raises ReceiptNotFound, NotSealedYet, SealBroken."""
    async with world.db.read() as tx:
        row = (await tx.execute(_place.where(AgreementEvent.id == event_id, AgreementEvent.user_id == subject.id))).one_or_none()
        if row is None:
            raise ReceiptNotFound
        return await _included(tx, row)


async def prove_inclusion(world: World, event_id: UUID) -> InclusionProof:
    """The proof for any event. Raises AgreementEventNotFound, NotSealedYet, SealBroken."""
    async with world.db.read() as tx:
        row = (await tx.execute(_place.where(AgreementEvent.id == event_id))).one_or_none()
        if row is None:
            raise AgreementEventNotFound
        return await _included(tx, row)


async def _included(tx: Transaction, row: AnyRow) -> InclusionProof:
    if row.seal is None:
        raise NotSealedYet
    leaves = await read_leaves(tx, row.seal_n)
    if row.leaf >= len(leaves) or leaves[row.leaf] != merkle.leaf_hash(row.receipt.encode()):
        raise SealBroken(facts={"seal": row.seal_n})
    return build_proof(row, leaves)


def build_proof(row: AnyRow, leaves: Sequence[bytes]) -> InclusionProof:
    """`row` has `seal`, `seal_n` and `leaf`, which is one of the leaves."""
    path = merkle.path(leaves, row.leaf)
    return InclusionProof(row.seal, row.seal_n, row.leaf, len(leaves), tuple(each.hex() for each in path))


async def read_leaves(tx: Transaction, n: int) -> list[bytes]:
    """The hashes of a seal's leaves, in order, that come to its root: as they were kept when it was made, whatever became of the
    receipts since; and those of the receipts, where the kept ones were altered. Raises SealBroken when neither come to it."""
    root = await tx.scalar(_root.where(AgreementSeal.n == n))
    rows = (await tx.execute(_leaves.where(AgreementSealItem.seal_n == n))).all()
    for made in (_kept, _made_anew):
        leaves = made(rows)
        if leaves and merkle.root(leaves).hex() == root:
            return leaves
    raise SealBroken(facts={"seal": n})


def _kept(rows: Sequence[AnyRow]) -> list[bytes]:
    try:
        return [bytes.fromhex(row.leaf_sha256) for row in rows]
    except ValueError:
        return []


def _made_anew(rows: Sequence[AnyRow]) -> list[bytes]:
    return [merkle.leaf_hash(row.receipt.encode()) for row in rows if row.receipt is not None]
