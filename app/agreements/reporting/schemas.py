"""Wire shapes of what operators do with many acceptances at once: coverage, lists of events, imports."""

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
MOST = 1000


class Statuses(WireModel):
    """`required`: shown, and the version in force was never decided. `not_required`: nothing was in force. Of a notice only
    `notified`, `to_be_shown` (a later one) and `not_required` occur; nobody accepts it (agreements R11)."""

    accepted: int = 0
    in_grace: int = 0
    declined: int = 0
    withdrawn: int = 0
    required: int = 0
    not_required: int = 0
    notified: int = 0
    to_be_shown: int = 0


class OrdinalCount(WireModel):
    """End users whose acceptance that counts is of this ordinal, and those to whom it was last shown as news."""

    ordinal: int
    accepted: int
    notified: int


class GradeCounts(WireModel):
    """The best evidence of the acceptance that counts. A: two factors, in a language asked for. B: one factor, or another language.
    C: imported, or by a license key alone."""

    A: int = 0
    B: int = 0
    C: int = 0


class CoverageOut(WireModel):
    """`users`: who had been shown the agreement or has an event about it; `statuses` adds up to them. `ordinals` and `grades` also
    count acceptances of a version that no longer suffices."""

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
    def told(cls, it: Coverage) -> Self:
        ordinals = [
            OrdinalCount(ordinal=number, accepted=it.accepted.get(number, 0), notified=it.notified.get(number, 0))
            for number in sorted({*it.accepted, *it.notified})
        ]
        return cls(
            agreement=it.document.id,
            product=it.document.product,
            kind=it.document.kind,
            region=it.document.region,
            as_of=it.as_of,
            required_ordinal=it.required or None,
            users=it.users,
            statuses=Statuses(**it.statuses),
            ordinals=ordinals,
            grades=GradeCounts(**it.grades),
        )


class CoveredOut(WireModel):
    """Where one end user stood. Ordinals are null where there was none; `grade` is that of the acceptance which counts."""

    user: UUID
    status: StatusName
    accepted_ordinal: int | None
    declined_ordinal: int | None
    notified_ordinal: int | None
    grade: GradeName | None
    last_event_at: Instant | None

    @classmethod
    def told(cls, row: AnyRow) -> Self:
        ordinals = {f"{name}_ordinal": getattr(row, name) or None for name in ("accepted", "declined", "notified")}
        return cls(user=row.id, status=row.status, grade=row.grade, last_event_at=row.last_at, **ordinals)


class BroughtOut(WireModel):
    """What the operator claimed of an imported acceptance; null where the receipt cannot be read any more."""

    accepted_at: str | None = None
    external_ref: str | None = None
    source: str | None = None


class AgreementEventOut(WireModel):
    """An event of the ledger. `imported` is null for whatever the end user did; the grade of a note is null, for it proves nothing."""

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
    imported: BroughtOut | None
    receipt_sha256: str
    prev_sha256: str | None

    @classmethod
    def told(cls, row: AnyRow) -> Self:
        fields = {name: value for name, value in row._mapping.items() if name in cls.model_fields}
        claimed = BroughtOut(**read_import_claims(row.type, row.jws)) if row.type == EventType.IMPORTED else None
        return cls(**{**fields, "amr": row.amr.split() if row.amr is not None else None, "imported": claimed})


class ImportIn(WireModel):
    """An acceptance given elsewhere. `accepted_at` is a claim, kept as one; `external_ref` is the operator's own name of it, brought
    once; `source` says where it can be looked up. `locale` absent: the agreement's default."""

    user: UUID
    ordinal: Ordinal
    locale: Locale | None = None
    accepted_at: InstantIn
    external_ref: ExternalId
    source: Name | None = None

    def value(self) -> ImportedAcceptance:
        return ImportedAcceptance(self.user, self.ordinal, self.locale, self.accepted_at, self.external_ref, self.source)


class ImportsIn(WireModel):
    data: Annotated[list[ImportIn], Field(min_length=1, max_length=MOST)]


class FaultOut(WireModel):
    pointer: str
    code: str
    detail: str


class ImportedOut(WireModel):
    """`created`, `replayed` (brought before, the same event), or `refused` with the reason."""

    external_ref: str
    result: Literal["created", "replayed", "refused"]
    event: UUID | None
    error: FaultOut | None


class ImportsOut(WireModel):
    """One result for each of `data`, in its order."""

    created: int
    replayed: int
    refused: int
    data: list[ImportedOut]

    @classmethod
    def told(cls, results: Sequence[ImportResult]) -> Self:
        said = [it.result for it in results]
        data = [_imported(place, it) for place, it in enumerate(results)]
        return cls(created=said.count("created"), replayed=said.count("replayed"), refused=said.count("refused"), data=data)


def _imported(place: int, it: ImportResult) -> ImportedOut:
    fault = it.fault
    error = FaultOut(pointer=f"/data/{place}/{fault.name}", code=fault.problem.code, detail=fault.problem.detail) if fault else None
    return ImportedOut(external_ref=it.external_ref, result=it.result, event=it.event, error=error)
