"""Wire shapes of receipts, events, annotations, and of the question whether a receipt is ours."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field

from app.agreements import grades
from app.agreements.grades import Grade
from app.agreements.ledger.receipts import Annotation, EventRecord, Receipt, ReceiptCheck
from app.agreements.ledger.seals import InclusionProof
from app.base.languages import Fallback
from app.web.fields import Instant, Prose, WarningOut, WireModel

EventTypeName = Literal["accepted", "declined", "withdrawn", "notice_shown", "imported", "annotated"]


class ReceiptOut(WireModel):
    """`jws` is the record (`typ: acceptance-receipt+jwt`); the rest is an index of it. `seq` is its place in the user's chain."""

    id: UUID
    type: EventTypeName
    at: Instant
    product: str
    document: UUID
    version: UUID
    ordinal: int
    text: UUID
    locale: str
    seq: int
    jws: str


class ReceiptDetails(ReceiptOut):
    """With the words that it names, and the evidence grade: null for a note. `label` is the version's."""

    name: str
    label: str | None
    title: str
    statement: str
    accept_label: str
    decline_label: str
    grade: Grade | None
    locale_requested: str | None
    fallback: Fallback | None
    text_sha256: str
    statement_sha256: str
    format: str | None
    served_sha256: str | None
    amr: list[str]
    auth_time: int | None

    @classmethod
    def of(cls, it: Receipt) -> Self:
        return cls(**_whole(it))


def _whole(it: Receipt) -> dict[str, Any]:
    row, claims = it.row, it.claims
    amr = row.amr.split() if row.amr else []
    fields = {name: value for name, value in row._mapping.items() if name in ReceiptDetails.model_fields}
    told = {name: claims.get(name) for name in ("locale_requested", "format", "served_sha256", "auth_time", "text_sha256")}
    grade = grades.grade_event(row.type, amr, row.fallback)
    return {**fields, **told, "statement_sha256": claims["stmt_sha256"], "amr": amr, "grade": grade}


class ContextOut(WireModel):
    """Where an act came from; erasable. `salt` (hexadecimal) opens the commitments `ctx` and `sid_h` of the receipt."""

    ip: str | None
    user_agent: str | None
    session_id: UUID
    salt: str


class AnnotationIn(WireModel):
    """`reason` is signed and never erased: name nobody in it."""

    reason: Annotated[Prose, Field(max_length=2000)]


class AnnotationOut(WireModel):
    """A correction; `id` is that of its own event. `by` is the operator's key."""

    id: UUID
    at: Instant
    by: UUID | None
    reason: str

    @classmethod
    def of(cls, it: Annotation) -> Self:
        return cls(id=it.id, at=it.at, by=it.by, reason=it.reason)


class EventOut(ReceiptDetails):
    """An event as it is filed. `context` is null once it was erased, and for what no hand of the end user did."""

    user: UUID
    actor: dict[str, Any] | None
    claims: dict[str, Any]
    context: ContextOut | None
    annotations: list[AnnotationOut]

    @classmethod
    def filed(cls, it: EventRecord) -> Self:
        row, found = it.whole.row, it.context
        context = None
        if found is not None:
            context = ContextOut(ip=found.ip, user_agent=found.user_agent, session_id=found.session_id, salt=found.salt.hex())
        notes = [AnnotationOut.of(note) for note in it.notes]
        claims = it.whole.claims
        return cls(**_whole(it.whole), user=row.user, actor=claims.get("act"), claims=claims, context=context, annotations=notes)


class ReceiptIn(WireModel):
    """Whatever is said to be a receipt: one compact JWS."""

    receipt: Annotated[str, Field(max_length=65_536)]


class ReceiptVerdict(WireModel):
    """`valid`: one of our keys signed it, retired or not, and the ledger holds exactly this. `code` is `ok` or the reason why not.

    The warning `signing_key_revoked` has `vouched_by`: `seal` (one that a key in good standing signed holds the receipt: `seal`,
    `sealed_at`), `ledger` (which holds it, and no such seal does), or `nothing`.
    """

    valid: bool
    code: Literal["ok", "receipt_not_genuine", "receipt_not_in_ledger"]
    in_ledger: bool
    warnings: list[WarningOut]
    claims: dict[str, Any] | None

    @classmethod
    def of(cls, it: ReceiptCheck) -> Self:
        warnings = [WarningOut(**each.to_dict()) for each in it.warnings]
        return cls(valid=it.code == "ok", code=it.code, in_ledger=it.in_ledger, warnings=warnings, claims=it.claims)


class InclusionOut(WireModel):
    """The receipt (its text, as one leaf with a zero octet before it) and `path` come to the `root` in `seal`: RFC 9162 section 2.1.3.2."""

    seal: str
    n: int
    leaf: int
    count: int
    path: list[str]

    @classmethod
    def of(cls, it: InclusionProof) -> Self:
        return cls(seal=it.seal, n=it.n, leaf=it.leaf, count=it.count, path=list(it.path))
