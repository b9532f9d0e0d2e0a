"""Verifies chains row by row: each event against its receipt, the rows and texts it names, and the states that follow.

Works on rows that `service.py` reads; no database access here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.agreements.ledger import proofs
from app.agreements.ledger.chain import DECISIONS
from app.agreements.ledger.projection import StateReplay
from app.agreements.ledger.proofs import MAX_RECEIPT, RECEIPT, ChainPosition
from app.agreements.rules import digest
from app.agreements.verification import row_checks
from app.db.types import AnyRow
from app.security.signing import Claims, InvalidToken, Signer

TEXT = ("locale", "sha256", "html_sha256", "plain_sha256", "statement_sha256")
CONTEXT = ("salt", "ip", "user_agent", "session_id")


@dataclass(frozen=True)
class IntegrityFault:
    """The first place that differs from what was written.

    `what` is `missing`, `signature`, `head`, `root`, `state`, or the column, claim or hash that differs.
    """

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
    """Verifies all events in the order of (user, seq), in batches.

    A row has the columns of its event, `head_seq` and `head` of its ledger, the columns that `row_checks.find_fault` needs, and those
    of `TEXT` and `CONTEXT`; `salt` is None where the context was erased. `texts` maps the ids of altered texts to the hash that differs.
    """

    keys: Signer
    texts: Mapping[UUID, str]
    users: int = 0
    events: int = 0
    _position: ChainPosition | None = None
    _last: AnyRow | None = None
    _replay: StateReplay = field(default_factory=StateReplay)

    def verify_batch(self, rows: Iterable[AnyRow], states: Mapping[UUID, Sequence[AnyRow]]) -> IntegrityFault | None:
        """Verify the next batch. `states` holds the stored states of its users, and of the last user of the previous batch."""
        for row in rows:
            if (self._last is None or self._last.user_id != row.user_id) and (fault := self._start_chain(row, states)) is not None:
                return fault
            if (fault := self._verify_event(row)) is not None:
                return fault
        return None

    def finish_chain(self, states: Mapping[UUID, Sequence[AnyRow]]) -> IntegrityFault | None:
        """Verify the head of the current chain and the states that follow from it."""
        row, position = self._last, self._position
        if row is None or position is None:
            return None
        if (row.head_seq, row.head) != (position.seq, position.sha256):
            is_cut = row.head_seq is not None and row.head_seq > position.seq
            return IntegrityFault("missing" if is_cut else "head", user=row.user_id, seq=position.seq + is_cut)
        document_id = self._replay.find_mismatch(states.get(row.user_id, ()))
        return IntegrityFault("state", user=row.user_id, document=document_id) if document_id is not None else None

    def _start_chain(self, row: AnyRow, states: Mapping[UUID, Sequence[AnyRow]]) -> IntegrityFault | None:
        if (fault := self.finish_chain(states)) is not None:
            return fault
        self.users += 1
        self._position, self._replay = ChainPosition(str(row.user_id)), StateReplay()
        return None

    def _verify_event(self, row: AnyRow) -> IntegrityFault | None:
        position = self._position or ChainPosition(str(row.user_id))
        self._last = row
        if row.seq > position.seq + 1:
            return IntegrityFault("missing", user=row.user_id, seq=position.seq + 1)
        what, claims = _read_receipt(row, self.keys)
        what = what or position.find_mismatch(claims) or _find_column_mismatch(row, claims) or self._find_text_fault(row, claims)
        what = what or row_checks.find_fault(row, claims) or _find_context_mismatch(row, claims)
        if what is not None:
            return IntegrityFault(what, user=row.user_id, seq=row.seq, event=row.id)
        self.events += 1
        self._position = position.advance(row.receipt, claims)
        self._replay.apply(row)
        return None

    def _find_text_fault(self, row: AnyRow, claims: Claims) -> str | None:
        if row.text_id in self.texts:
            return self.texts[row.text_id]
        if row.there_text is None:
            return "text"
        return proofs.find_claim_mismatch(claims, {"id": row.text_id, **{name: getattr(row, f"text_{name}") for name in TEXT}})


def _read_receipt(row: AnyRow, keys: Signer) -> tuple[str | None, Claims]:
    """Return a fault or None, and the receipt's claims."""
    if digest(row.receipt) != row.receipt_sha256:
        return "receipt_sha256", {}
    try:
        return None, keys.read(RECEIPT, row.receipt, MAX_RECEIPT)
    except InvalidToken:
        return "signature", {}


def _find_context_mismatch(row: AnyRow, claims: Claims) -> str | None:
    return proofs.find_context_mismatch(claims, {name: getattr(row, name) for name in CONTEXT}) if row.salt is not None else None


def _find_column_mismatch(row: AnyRow, claims: Claims) -> str | None:
    """Return the column of the event that does not match the receipt, which it indexes."""
    return next((name for name, value in _index_claims(claims).items() if row_checks.to_claim(getattr(row, name)) != value), None)


def _index_claims(claims: Claims) -> dict[str, Any]:
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
