"""Wire models of the ledger's verification, its seals, and an end user's evidence."""

from typing import Any, Self
from uuid import UUID

from app.agreements.grades import Grade
from app.agreements.verification.service import LedgerReport
from app.db.types import AnyRow
from app.web.fields import Flag, Instant, WireModel


class LedgerIn(WireModel):
    """`user`: verify only what this end user's evidence depends on. Without it, verify everything."""

    user: UUID | None = None


class IntegrityFaultOut(WireModel):
    """The first place that differs from what was written.

    `what` is `missing`, `signature`, `head`, `state`, `root`, or the column, claim or hash that differs. It is `document`, `version`,
    `text`, `presentation` or `import` when a row the event depends on is missing, and for example `version.ordinal` when a column of
    such a row differs. `seq` is a number in the user's chain, `leaf` a place in the seal. `event` is null when its row is missing.
    """

    what: str
    user: UUID | None
    seq: int | None
    event: UUID | None
    seal: int | None
    leaf: int | None
    text: UUID | None
    document: UUID | None


class LedgerVerdict(WireModel):
    """The result. The counts: what was read until the end or the first fault. `unsealed`: events that no seal includes yet."""

    valid: bool
    broken: IntegrityFaultOut | None
    users: int
    events: int
    texts: int
    seals: int
    unsealed: int

    @classmethod
    def of(cls, report: LedgerReport) -> Self:
        broken = IntegrityFaultOut.model_validate(report.fault) if report.fault is not None else None
        return cls(
            valid=broken is None,
            broken=broken,
            users=report.users,
            events=report.events,
            texts=report.texts,
            seals=report.seals,
            unsealed=report.unsealed,
        )


class SealOut(WireModel):
    """A seal. `seal` is the record (`typ: ledger-seal+jwt`), the other fields repeat its claims.

    Store `seal_sha256` where the operator cannot change it: it proves all earlier seals.
    """

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
    """`legal_hold`: none of the evidence may be erased."""

    user: UUID
    legal_hold: Flag


class ErasedContextsOut(WireModel):
    """`erased`: how many contexts (IP address, user agent, session) were erased."""

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
    """Everything that proves what an end user agreed to; `python -m app verify FILE` verifies it offline.

    `signature` is a JWS (`typ: evidence-bundle+jwt`). Its claim `sha256` is the hash of the other members as RFC 8785 writes them.
    `broken_seals`: seals that no longer allow a proof, so their receipts have no `inclusion`.
    """

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
