"""Wire models of receipts, ledger events and annotations."""

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
    """A receipt. `jws` is the record (`typ: acceptance-receipt+jwt`), the other fields repeat its claims.

    `seq` is its number in the user's chain.
    """

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
    """A receipt with the text that it names, and the evidence grade (null for an annotation). `label` is the version's label."""

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
    def of(cls, receipt: Receipt) -> Self:
        return cls(**_collect_details(receipt))


def _collect_details(receipt: Receipt) -> dict[str, Any]:
    row, claims = receipt.row, receipt.claims
    amr = row.amr.split() if row.amr else []
    fields = {name: value for name, value in row._mapping.items() if name in ReceiptDetails.model_fields}
    fields |= {name: claims.get(name) for name in ("locale_requested", "format", "served_sha256", "auth_time", "text_sha256")}
    return {**fields, "statement_sha256": claims["stmt_sha256"], "amr": amr, "grade": grades.grade_event(row.type, amr, row.fallback)}


class ContextOut(WireModel):
    """The network address, user agent and session of an event; erasable.

    With `salt` (hexadecimal) the commitments `ctx` and `sid_h` of the receipt can be checked.
    """

    ip: str | None
    user_agent: str | None
    session_id: UUID
    salt: str


class AnnotationIn(WireModel):
    """The correction. `reason` becomes part of a signed receipt and is never erased: do not write personal data into it."""

    reason: Annotated[Prose, Field(max_length=2000)]


class AnnotationOut(WireModel):
    """A correction of an event. `id` is the id of the annotation's own event, `by` the operator's API key."""

    id: UUID
    at: Instant
    by: UUID | None
    reason: str

    @classmethod
    def of(cls, annotation: Annotation) -> Self:
        return cls(id=annotation.id, at=annotation.at, by=annotation.by, reason=annotation.reason)


class EventOut(ReceiptDetails):
    """An event of the ledger. `context` is null when it was erased, and for events of operators, which have none."""

    user: UUID
    actor: dict[str, Any] | None
    claims: dict[str, Any]
    context: ContextOut | None
    annotations: list[AnnotationOut]

    @classmethod
    def of_record(cls, record: EventRecord) -> Self:
        claims, row = record.receipt.claims, record.context
        context = None
        if row is not None:
            context = ContextOut(ip=row.ip, user_agent=row.user_agent, session_id=row.session_id, salt=row.salt.hex())
        annotations = [AnnotationOut.of(each) for each in record.annotations]
        return cls(
            **_collect_details(record.receipt),
            user=record.receipt.row.user,
            actor=claims.get("act"),
            claims=claims,
            context=context,
            annotations=annotations,
        )


class ReceiptIn(WireModel):
    """The receipt to verify: one compact JWS."""

    receipt: Annotated[str, Field(max_length=65_536)]


class ReceiptVerdict(WireModel):
    """`valid`: one of our keys signed the receipt, and the ledger contains exactly it. A retired key counts as ours.

    `code` is `ok` or the reason why the receipt is not valid. The warning `signing_key_revoked` has `vouched_by`: `seal` if a seal
    that another key signed includes the receipt (then also `seal` and `sealed_at`), else `ledger` if the ledger contains it, else
    `nothing`.
    """

    valid: bool
    code: Literal["ok", "receipt_not_genuine", "receipt_not_in_ledger"]
    in_ledger: bool
    warnings: list[WarningOut]
    claims: dict[str, Any] | None

    @classmethod
    def of(cls, check: ReceiptCheck) -> Self:
        warnings = [WarningOut(**each.to_dict()) for each in check.warnings]
        return cls(valid=check.code == "ok", code=check.code, in_ledger=check.in_ledger, warnings=warnings, claims=check.claims)


class InclusionOut(WireModel):
    """The proof that a seal includes a receipt.

    Hash the receipt's text as a leaf (with the prefix byte 0), then combine it with `path`: the result is the `root` in `seal`
    (RFC 9162 section 2.1.3.2).
    """

    seal: str
    n: int
    leaf: int
    count: int
    path: list[str]

    @classmethod
    def of(cls, proof: InclusionProof) -> Self:
        return cls(seal=proof.seal, n=proof.n, leaf=proof.leaf, count=proof.count, path=list(proof.path))
