"""Wire models for end users: their agreements, presentations, decisions and withdrawals."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field

from app.agreements import obligations
from app.agreements.acceptance.decisions import DecisionOutcome
from app.agreements.acceptance.overview import TextSelection, UserAgreement
from app.agreements.acceptance.presentations import FormatName, Presentation
from app.agreements.obligations import Compliance, ObligationStatus, Version
from app.agreements.publishing.schemas import ChangeClassName
from app.base.durations import instant_text
from app.base.languages import Fallback
from app.db.types import AnyRow
from app.web.fields import Count, Flag, Instant, InstantIn, Locale, Name, WireModel, omittable

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class OutstandingOut(WireModel):
    """A document of which the version with this ordinal, or a later one, must be accepted."""

    document: UUID
    ordinal: int


def _list_outstanding(compliance: Compliance) -> list[OutstandingOut]:
    return [OutstandingOut(document=each.document_id, ordinal=each.ordinal) for each in compliance.outstanding]


class VersionRef(WireModel):
    """A published version."""

    version: UUID
    ordinal: int
    label: str | None
    change_class: ChangeClassName
    effective_at: Instant
    grace_until: Instant | None

    @classmethod
    def from_version(cls, version: Version | None) -> Self | None:
        if version is None:
            return None
        fields = {"label": version.label, "effective_at": version.effective_at, "grace_until": version.grace_until}
        return cls(version=version.id, ordinal=version.ordinal, change_class=version.change_class, **fields)  # type: ignore[arg-type]


class AcceptedRef(WireModel):
    """The latest accepted version. `event`: the id of the acceptance event and of its receipt."""

    ordinal: int
    event: UUID
    at: Instant


class TextRef(WireModel):
    """The text that a presentation would show now. `requested`: the most preferred language, or null."""

    id: UUID
    requested: str | None
    locale: str
    fallback: Fallback
    sha256: str
    summary: str | None

    @classmethod
    def from_selection(cls, selection: TextSelection) -> Self:
        return cls(summary=selection.text.summary, **_text_fields(selection))


def _text_fields(selection: TextSelection) -> dict[str, Any]:
    text, choice = selection.text, selection.choice
    return {"id": text.id, "sha256": text.sha256, "requested": choice.requested, "locale": choice.served, "fallback": choice.fallback}


class MyAgreement(WireModel):
    """An agreement and its status. `document`: the id for presentations. `in_grace`: accept the newer version before `grace_until`."""

    document: UUID
    kind: str
    region: str
    name: str
    status: ObligationStatus
    grace_until: Instant | None
    current: VersionRef | None
    accepted: AcceptedRef | None
    upcoming: VersionRef | None
    text: TextRef

    @classmethod
    def from_agreement(cls, agreement: UserAgreement) -> Self:
        row, obligation, now = agreement.document, agreement.obligation, agreement.now
        return cls(
            document=obligation.document_id,
            kind=row.kind,
            region=row.region,
            name=row.name,
            status=obligation.status(now),
            grace_until=obligation.grace_end(now),
            current=VersionRef.from_version(obligations.find_current(obligation.versions, now)),
            accepted=_read_accepted(row),
            upcoming=VersionRef.from_version(obligations.find_scheduled(obligation.versions, now)),
            text=TextRef.from_selection(agreement.selection),
        )


def _read_accepted(row: AnyRow) -> AcceptedRef | None:
    if row.accepted_event_id is None:
        return None
    return AcceptedRef(ordinal=row.accepted, event=row.accepted_event_id, at=row.accepted_at)


class MyAgreements(WireModel):
    """The end user's agreements. `compliant`: everything in force is accepted.

    `valid_until`: when `compliant` can change without an action of the user.
    """

    compliant: bool
    items: list[MyAgreement]
    valid_until: Instant | None

    @classmethod
    def from_agreements(cls, compliance: Compliance, agreements: list[UserAgreement]) -> Self:
        items = [MyAgreement.from_agreement(agreement) for agreement in agreements]
        return cls(compliant=not compliance.outstanding, items=items, valid_until=compliance.valid_until)


class PresentationIn(WireModel):
    """How and where the text is shown. Without `version`: the version in effect, or the upcoming version if nothing is due now."""

    locale: Locale | None = None
    format: FormatName = "md"
    version: UUID | None = None
    client: Name | None = None
    app_version: Name | None = None
    platform: Name | None = None
    ui_ref: Name | None = None


class PresentedText(WireModel):
    """The text to show. `body` is in the requested format: Markdown, a fragment of sanitised HTML, or plain text.

    `served_sha256`: of the UTF-8 bytes of `body`. `sha256`: of the Markdown source, for every format.
    """

    id: UUID
    requested: str | None
    locale: str
    fallback: Fallback
    sha256: str
    format: FormatName
    served_sha256: str
    title: str
    body: str


class PresentationOut(WireModel):
    """Show `body`, then `statement` and two buttons with these labels. Send `text.sha256` with the decision."""

    id: UUID
    expires_at: Instant
    version: UUID
    ordinal: int
    text: PresentedText
    statement: str
    accept_label: str
    decline_label: str

    @classmethod
    def from_presentation(cls, presentation: Presentation) -> Self:
        selection, text = presentation.selection, presentation.text
        presented = PresentedText(
            format=presentation.format,
            title=text.title,
            body=presentation.body,
            served_sha256=presentation.served_sha256,
            **_text_fields(selection),
        )
        return cls(
            id=presentation.id,
            expires_at=presentation.expires_at,
            version=selection.version.id,
            ordinal=selection.version.ordinal,
            text=presented,
            statement=text.statement,
            accept_label=text.accept_label,
            decline_label=text.decline_label,
        )


class ClaimsIn(WireModel):
    """The client's report about reading; the server cannot check it."""

    scrolled_to_end: Flag = omittable()
    dwell_ms: Count = omittable()


class PresentationState(WireModel):
    """A presentation with the client's reports about reading."""

    id: UUID
    expires_at: Instant
    scrolled_to_end: bool | None
    dwell_ms: int | None


class DecisionClaims(ClaimsIn):
    """The client's report; the server cannot check it. `client_time`: the time of a click made offline; `at` is the server's time."""

    client_time: InstantIn = omittable()

    def as_claims(self) -> dict[str, Any]:
        """Return the reported values in the form of the receipt."""
        fields = self.model_dump(exclude_unset=True)
        return {name: instant_text(value) if name == "client_time" else value for name, value in fields.items()}


class DecisionIn(WireModel):
    """A decision. `text_sha256`: the `text.sha256` of the presentation."""

    decision: Literal["accept", "decline"]
    text_sha256: Sha256
    claims: DecisionClaims = DecisionClaims()


class ReceiptRef(WireModel):
    """The signed receipt, and the URL to read it again."""

    jws: str
    url: str


class DecisionOut(WireModel):
    """The stored decision. `compliant` and `outstanding`: the product's agreements after it."""

    event: UUID
    type: Literal["accepted", "declined"]
    at: Instant
    ordinal: int
    result: Literal["created", "replayed", "already_accepted"]
    compliant: bool
    outstanding: list[OutstandingOut]
    receipt: ReceiptRef

    @classmethod
    def from_outcome(cls, outcome: DecisionOutcome) -> Self:
        return cls(result=outcome.result, **_outcome_fields(outcome))


class WithdrawalOut(WireModel):
    """The withdrawal. `ordinal`: of the version that was accepted. `compliant` and `outstanding`: the product's agreements after it."""

    event: UUID
    type: Literal["withdrawn"]
    at: Instant
    ordinal: int
    result: Literal["created", "replayed"]
    compliant: bool
    outstanding: list[OutstandingOut]
    receipt: ReceiptRef

    @classmethod
    def from_outcome(cls, outcome: DecisionOutcome) -> Self:
        return cls(result=outcome.result, **_outcome_fields(outcome))  # type: ignore[arg-type]  # never `already_accepted`


def _outcome_fields(outcome: DecisionOutcome) -> dict[str, Any]:
    event = outcome.event
    return {
        "event": event.id,
        "type": event.type,
        "at": event.at,
        "ordinal": event.ordinal,
        "compliant": not outcome.compliance.outstanding,
        "outstanding": _list_outstanding(outcome.compliance),
        "receipt": ReceiptRef(jws=event.receipt, url=f"/v1/me/receipts/{event.id}"),
    }
