"""Wire models for operators who work with many acceptances: coverage, lists of events, imports."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field

from app.agreements.models import EventType
from app.agreements.reporting.coverage import Coverage
from app.agreements.reporting.events import read_import_claims
from app.agreements.reporting.imports import ImportedAcceptance, ImportResult
from app.db.types import AnyRow
from app.web.fields import INT_MAX, ExternalId, Instant, InstantIn, Locale, Name, WireModel

StatusName = Literal["accepted", "in_grace", "declined", "withdrawn", "required", "not_required", "notified", "to_be_shown"]
GradeName = Literal["A", "B", "C"]
Ordinal = Annotated[int, Field(strict=True, ge=1, le=INT_MAX)]
MAX_IMPORTS = 1000


class Statuses(WireModel):
    """Numbers of end users by agreement status.

    `required`: the version in force was shown and not decided. `not_required`: nothing was in force. For a notice only `notified`,
    `to_be_shown` (a later version) and `not_required` occur.
    """

    accepted: int = 0
    in_grace: int = 0
    declined: int = 0
    withdrawn: int = 0
    required: int = 0
    not_required: int = 0
    notified: int = 0
    to_be_shown: int = 0


class OrdinalCount(WireModel):
    """End users whose current acceptance has this ordinal, and end users to whom it was last shown as a notice."""

    ordinal: int
    accepted: int
    notified: int


class GradeCounts(WireModel):
    """End users by the best evidence of their current acceptance.

    A: two factors and a requested language. B: one factor, or another language. C: imported, or a license key alone.
    """

    A: int = 0
    B: int = 0
    C: int = 0


class CoverageOut(WireModel):
    """The number of end users in each status.

    `users`: those with a presentation or an event; `statuses` adds up to this number. `ordinals` and `grades` also count acceptances of
    versions that are no longer enough.
    """

    agreement: UUID
    product: str
    kind: str
    region: str
    as_of: Instant
    required_ordinal: int | None
    users: int
    statuses: Statuses
    ordinals: list[OrdinalCount]
    grades: GradeCounts

    @classmethod
    def from_coverage(cls, coverage: Coverage) -> Self:
        ordinals = [
            OrdinalCount(ordinal=number, accepted=coverage.accepted.get(number, 0), notified=coverage.notified.get(number, 0))
            for number in sorted({*coverage.accepted, *coverage.notified})
        ]
        return cls(
            agreement=coverage.document.id,
            product=coverage.document.product,
            kind=coverage.document.kind,
            region=coverage.document.region,
            as_of=coverage.as_of,
            required_ordinal=coverage.required or None,
            users=coverage.users,
            statuses=Statuses(**coverage.statuses),
            ordinals=ordinals,
            grades=GradeCounts(**coverage.grades),
        )


class UserStatusOut(WireModel):
    """One end user's status. Ordinals are null if there is none; `grade`: of the current acceptance."""

    user: UUID
    status: StatusName
    accepted_ordinal: int | None
    declined_ordinal: int | None
    notified_ordinal: int | None
    grade: GradeName | None
    last_event_at: Instant | None

    @classmethod
    def from_row(cls, row: AnyRow) -> Self:
        ordinals = {f"{name}_ordinal": getattr(row, name) or None for name in ("accepted", "declined", "notified")}
        return cls(user=row.id, status=row.status, grade=row.grade, last_event_at=row.last_at, **ordinals)


class ImportClaimsOut(WireModel):
    """The operator's claims about an imported acceptance; null if the receipt is unreadable."""

    accepted_at: str | None = None
    external_ref: str | None = None
    source: str | None = None


class AgreementEventOut(WireModel):
    """An event of the ledger. `imported` is null for the end user's own events; `grade` is null for a note, which proves nothing."""

    id: UUID
    type: str
    at: Instant
    product: str
    agreement: UUID
    version: UUID
    ordinal: int
    text: UUID
    locale: str
    user: UUID
    seq: int
    grade: GradeName | None
    actor_type: str
    actor_id: UUID | None
    amr: list[str] | None
    fallback: str | None
    presentation: UUID | None
    imported: ImportClaimsOut | None
    receipt_sha256: str
    prev_sha256: str | None

    @classmethod
    def from_row(cls, row: AnyRow) -> Self:
        fields = {name: value for name, value in row._mapping.items() if name in cls.model_fields}
        import_claims = ImportClaimsOut(**read_import_claims(row.type, row.jws)) if row.type == EventType.IMPORTED else None
        return cls(**{**fields, "amr": row.amr.split() if row.amr is not None else None, "imported": import_claims})


class ImportIn(WireModel):
    """An acceptance given elsewhere. `external_ref`: the operator's own reference, imported once.

    `accepted_at` is stored as a claim. `source`: where it can be looked up. `locale` absent: the agreement's default.
    """

    user: UUID
    ordinal: Ordinal
    locale: Locale | None = None
    accepted_at: InstantIn
    external_ref: ExternalId
    source: Name | None = None

    def to_value(self) -> ImportedAcceptance:
        return ImportedAcceptance(self.user, self.ordinal, self.locale, self.accepted_at, self.external_ref, self.source)


class ImportsIn(WireModel):
    """Acceptances to import, in order."""

    data: Annotated[list[ImportIn], Field(min_length=1, max_length=MAX_IMPORTS)]


class FaultOut(WireModel):
    """Why an acceptance was refused. `pointer`: the invalid field (JSON Pointer, such as `/data/0/version`)."""

    pointer: str
    code: str
    detail: str


class ImportedOut(WireModel):
    """The result for one acceptance: `created`, `replayed` (imported before, same event), or `refused` with `error`."""

    external_ref: str
    result: Literal["created", "replayed", "refused"]
    event: UUID | None
    error: FaultOut | None


class ImportsOut(WireModel):
    """One result for each imported acceptance, in the same order."""

    created: int
    replayed: int
    refused: int
    data: list[ImportedOut]

    @classmethod
    def from_results(cls, results: Sequence[ImportResult]) -> Self:
        counts = Counter(each.result for each in results)
        data = [_from_result(index, each) for index, each in enumerate(results)]
        return cls(created=counts["created"], replayed=counts["replayed"], refused=counts["refused"], data=data)


def _from_result(index: int, result: ImportResult) -> ImportedOut:
    fault = result.fault
    error = FaultOut(pointer=f"/data/{index}/{fault.name}", code=fault.problem.code, detail=fault.problem.detail) if fault else None
    return ImportedOut(external_ref=result.external_ref, result=result.result, event=result.event, error=error)
