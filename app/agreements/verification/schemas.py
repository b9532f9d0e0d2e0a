"""Wire shapes of the ledger as a whole: its seals, its verification, and an end user's evidence."""

from typing import Any, Self
from uuid import UUID

from app.agreements.grades import Grade
from app.agreements.verification.service import LedgerReport
from app.db.types import AnyRow
from app.web.fields import Flag, Instant, WireModel


class LedgerIn(WireModel):
    """`user`: only what this end user's evidence stands on; absent: everything."""

    user: UUID | None = None


class IntegrityFaultOut(WireModel):
    """The first place that is not as it was written. `what`: `missing`, `signature`, `head`, `state`, `root`, the column, claim or hash
    that differs, or a row that the event rests on: `document`, `version`, `text`, `presentation`, `import` where it is gone, else with
    the column that differs, as `version.ordinal`. A `seq` is a place in the user's chain, a `leaf` one in the seal; the event is null
    when its row is gone."""

    what: str
    user: UUID | None
    seq: int | None
    event: UUID | None
    seal: int | None
    leaf: int | None
    text: UUID | None
    document: UUID | None


class LedgerVerdict(WireModel):
    """How much was read until the end or the first fault. `unsealed`: events that no seal holds yet."""

    valid: bool
    broken: IntegrityFaultOut | None
    users: int
    events: int
    texts: int
    seals: int
    unsealed: int

    @classmethod
    def of(cls, it: LedgerReport) -> Self:
        broken = IntegrityFaultOut.model_validate(it.broken) if it.broken is not None else None
        counts = {"users": it.users, "events": it.events, "texts": it.texts, "seals": it.seals, "unsealed": it.unsealed}
        return cls(valid=broken is None, broken=broken, **counts)


class SealOut(WireModel):
    """`seal` is the record (`typ: ledger-seal+jwt`), the rest an index of it. Keep `seal_sha256` where the operator has no hand in it:
    it holds every seal before it in place."""

    n: int
    count: int
    root: str
    prev_sha256: str | None
    sealed_at: Instant
    seal: str
    seal_sha256: str

    @classmethod
    def of(cls, row: AnyRow) -> Self:
        return cls(**row._mapping)


class LegalHoldOut(WireModel):
    """`legal_hold`: nothing of the evidence may be erased."""

    user: UUID
    legal_hold: Flag


class ErasedContextsOut(WireModel):
    """How many contexts were erased."""

    erased: int


class EvidenceContext(WireModel):
    salt: str
    ip: str | None
    user_agent: str | None
    session_id: UUID


class EvidenceInclusion(WireModel):
    n: int
    leaf: int
    count: int
    path: list[str]


class EvidenceReceipt(WireModel):
    jws: str
    sha256: str
    grade: Grade | None
    inclusion: EvidenceInclusion | None
    context: EvidenceContext | None


class EvidenceKeys(WireModel):
    keys: list[dict[str, Any]]


class EvidenceOut(WireModel):
    """Everything that proves what an end user agreed to; `python -m app verify FILE` checks it without us. `signature` is a JWS
    (`typ: evidence-bundle+jwt`) whose `sha256` is over the other members as RFC 8785 writes them. `broken_seals`: of these no path
    can be given any more, so the receipts in them come without."""

    format: str
    issuer: str
    user: UUID
    made_at: str
    made_by: UUID | None
    process: str
    legal_hold: bool
    receipts: list[EvidenceReceipt]
    broken_seals: list[int]
    texts: list[dict[str, Any]]
    versions: list[dict[str, Any]]
    seals: list[str]
    keys: EvidenceKeys
    signature: str
