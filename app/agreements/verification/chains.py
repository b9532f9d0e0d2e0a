"""Following the chains row by row: each event against its own receipt, its neighbours, the words it names and the state that follows.
No database in here; `verification.py` brings the rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.agreements.ledger import proofs
from app.agreements.ledger.projection import Replay
from app.agreements.ledger.proofs import MAX_RECEIPT, RECEIPT, ChainPosition
from app.agreements.rules import digest
from app.agreements.verification import row_checks
from app.agreements.verification.row_checks import DECISIONS
from app.db.types import AnyRow
from app.security.signing import Claims, InvalidToken, Signer

TEXT = ("locale", "sha256", "html_sha256", "plain_sha256", "statement_sha256")
CONTEXT = ("salt", "ip", "user_agent", "session_id")


@dataclass(frozen=True)
class IntegrityFault:
    """The first place that is not as it was written, and what of it: `missing`, `signature`, a column, a claim, a hash, or `state`."""

    what: str
    user: UUID | None = None
    seq: int | None = None
    event: UUID | None = None
    seal: int | None = None
    leaf: int | None = None
    text: UUID | None = None
    document: UUID | None = None


@dataclass
class ChainVerifier:
    """One pass over events in the order of (user, seq), in as many batches as it takes.

    A row has the columns of its event, `head_seq` and `head` of its ledger, those that `neighbours.fault` wants, and those of `TEXT` and
    `CONTEXT`, of which `salt` is None where the context was erased. `texts`: the ids of texts that are not as they were hashed, with
    what is wrong.
    """

    keys: Signer
    texts: Mapping[UUID, str]
    users: int = 0
    events: int = 0
    _tail: ChainPosition | None = None
    _last: AnyRow | None = None
    _replay: Replay = field(default_factory=Replay)

    def take(self, rows: Iterable[AnyRow], states: Mapping[UUID, Sequence[AnyRow]]) -> IntegrityFault | None:
        """The next batch; `states` are the stored ones of every user in it, and of the last user of the batch before."""
        for row in rows:
            if (self._last is None or self._last.user_id != row.user_id) and (broken := self._turn(row, states)) is not None:
                return broken
            if (broken := self._event(row)) is not None:
                return broken
        return None

    def end(self, states: Mapping[UUID, Sequence[AnyRow]]) -> IntegrityFault | None:
        """What is wrong at the end of the chain that was followed last: its head, or the states that follow from it."""
        row, tail = self._last, self._tail
        if row is None or tail is None:
            return None
        if (row.head_seq, row.head) != (tail.seq, tail.sha256):
            lost = row.head_seq is not None and row.head_seq > tail.seq
            return IntegrityFault("missing" if lost else "head", user=row.user_id, seq=tail.seq + lost)
        document_id = self._replay.misfit(states.get(row.user_id, ()))
        return IntegrityFault("state", user=row.user_id, document=document_id) if document_id is not None else None

    def _turn(self, row: AnyRow, states: Mapping[UUID, Sequence[AnyRow]]) -> IntegrityFault | None:
        if (broken := self.end(states)) is not None:
            return broken
        self.users += 1
        self._tail, self._replay = ChainPosition(str(row.user_id)), Replay()
        return None

    def _event(self, row: AnyRow) -> IntegrityFault | None:
        tail = self._tail or ChainPosition(str(row.user_id))
        self._last = row
        if row.seq > tail.seq + 1:
            return IntegrityFault("missing", user=row.user_id, seq=tail.seq + 1)
        what, claims = _opened(row, self.keys)
        what = what or tail.misfit(claims) or _column(row, claims) or self._words(row, claims)
        what = what or row_checks.find_fault(row, claims) or _context(row, claims)
        if what is not None:
            return IntegrityFault(what, user=row.user_id, seq=row.seq, event=row.id)
        self.events += 1
        self._tail = tail.after(row.receipt, claims)
        self._replay.take(row)
        return None

    def _words(self, row: AnyRow, claims: Claims) -> str | None:
        if row.text_id in self.texts:
            return self.texts[row.text_id]
        if row.there_text is None:
            return "text"
        return proofs.find_claim_mismatch(claims, {"id": row.text_id, **{name: getattr(row, f"text_{name}") for name in TEXT}})


def _opened(row: AnyRow, keys: Signer) -> tuple[str | None, Claims]:
    if digest(row.receipt) != row.receipt_sha256:
        return "receipt_sha256", {}
    try:
        return None, keys.read(RECEIPT, row.receipt, MAX_RECEIPT)
    except InvalidToken:
        return "signature", {}


def _context(row: AnyRow, claims: Claims) -> str | None:
    return proofs.find_context_mismatch(claims, {name: getattr(row, name) for name in CONTEXT}) if row.salt is not None else None


def _column(row: AnyRow, claims: Claims) -> str | None:
    """Which column of the event is not what its receipt says; they are an index of it."""
    return next((name for name, value in _index(claims).items() if row_checks.to_claim(getattr(row, name)) != value), None)


def _index(claims: Claims) -> dict[str, Any]:
    act = claims.get("act") or {"type": "user", "id": claims.get("sub")}
    decided = claims.get("event") in DECISIONS
    return {
        "id": claims.get("jti"),
        "user_id": claims.get("sub"),
        "seq": claims.get("seq"),
        "type": claims.get("event"),
        "document_id": claims.get("doc"),
        "version_id": claims.get("ver"),
        "ordinal": claims.get("ord"),
        "text_id": claims.get("txt"),
        "presentation_id": claims.get("prs") if decided else None,
        "at": claims.get("at"),
        "actor_type": "operator" if act["type"] == "import" else act["type"],
        "actor_id": act["id"],
        "amr": " ".join(claims["amr"]) if "amr" in claims else None,
        "fallback": claims.get("fallback"),
        "prev_sha256": claims.get("prev"),
    }
