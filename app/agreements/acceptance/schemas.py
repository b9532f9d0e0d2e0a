"""Wire shapes of the end user's side: their agreements, presentations, decisions and receipts."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field

from app.agreements import obligations
from app.agreements.acceptance.decisions import Outcome
from app.agreements.acceptance.overview import TextSelection, UserAgreement
from app.agreements.acceptance.presentations import FormatName, Presentation
from app.agreements.obligations import Compliance, Status, Version
from app.agreements.publishing.schemas import ChangeClassName
from app.base.durations import instant_text
from app.base.languages import Fallback
from app.db.types import AnyRow
from app.web.fields import Count, Flag, Instant, InstantIn, Locale, Name, WireModel, omittable

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class OutstandingOut(WireModel):
    """A document whose version of this ordinal, or a later one, has to be accepted."""

    document: UUID
    ordinal: int


def _outstanding(found: Compliance) -> list[OutstandingOut]:
    return [OutstandingOut(document=it.document_id, ordinal=it.ordinal) for it in found.outstanding]


class VersionRef(WireModel):
    version: UUID
    ordinal: int
    label: str | None
    change_class: ChangeClassName
    effective_at: Instant
    grace_until: Instant | None

    @classmethod
    def of(cls, it: Version | None) -> Self | None:
        if it is None:
            return None
        fields = {"label": it.label, "effective_at": it.effective_at, "grace_until": it.grace_until}
        return cls(version=it.id, ordinal=it.ordinal, change_class=it.change_class, **fields)  # type: ignore[arg-type]


class AcceptedRef(WireModel):
    """The latest version accepted. `event` names the receipt."""

    ordinal: int
    event: UUID
    at: Instant


class TextRef(WireModel):
    """The text that a presentation would show now. `requested` is the language wished for most, null if none was."""

    id: UUID
    requested: str | None
    locale: str
    fallback: Fallback
    sha256: str
    summary: str | None

    @classmethod
    def of(cls, it: TextSelection) -> Self:
        return cls(summary=it.text.summary, **_text(it))


def _text(it: TextSelection) -> dict[str, Any]:
    choice = {"requested": it.choice.requested, "locale": it.choice.served, "fallback": it.choice.fallback}
    return {"id": it.text.id, "sha256": it.text.sha256, **choice}


class MyAgreement(WireModel):
    """`document` is the id that a presentation is asked for by. `in_grace`: a newer version must be accepted before `grace_until`."""

    document: UUID
    kind: str
    region: str
    name: str
    status: Status
    grace_until: Instant | None
    current: VersionRef | None
    accepted: AcceptedRef | None
    upcoming: VersionRef | None
    text: TextRef

    @classmethod
    def of(cls, it: UserAgreement) -> Self:
        row, duty = it.document, it.duty
        return cls(
            document=duty.document_id,
            kind=row.kind,
            region=row.region,
            name=row.name,
            status=duty.status(it.now),
            grace_until=duty.grace_end(it.now),
            current=VersionRef.of(obligations.find_current(duty.versions, it.now)),
            accepted=_accepted(row),
            upcoming=VersionRef.of(obligations.find_scheduled(duty.versions, it.now)),
            text=TextRef.of(it.shown),
        )


def _accepted(row: AnyRow) -> AcceptedRef | None:
    if row.accepted_event_id is None:
        return None
    return AcceptedRef(ordinal=row.accepted, event=row.accepted_event_id, at=row.accepted_at)


class MyAgreements(WireModel):
    """`compliant`: everything in force is accepted. `valid_until`: when that could change by itself."""

    compliant: bool
    items: list[MyAgreement]
    valid_until: Instant | None

    @classmethod
    def of(cls, found: Compliance, items: list[UserAgreement]) -> Self:
        return cls(compliant=not found.outstanding, items=[MyAgreement.of(it) for it in items], valid_until=found.valid_until)


class PresentationIn(WireModel):
    """How and on which screen the text is shown. `version` absent: the one in effect, or the coming one if nothing is owed."""

    locale: Locale | None = None
    format: FormatName = "md"
    version: UUID | None = None
    client: Name | None = None
    app_version: Name | None = None
    platform: Name | None = None
    ui_ref: Name | None = None


class PresentedText(WireModel):
    """`body` in the format asked for: Markdown, a fragment of sanitised HTML, or plain text, `served_sha256` over its UTF-8 bytes.
    `sha256` is that of the Markdown, whatever was served."""

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
    """Show `body`, then `statement` beside two buttons with these labels; repeat `text.sha256` with the decision."""

    id: UUID
    expires_at: Instant
    version: UUID
    ordinal: int
    text: PresentedText
    statement: str
    accept_label: str
    decline_label: str

    @classmethod
    def of(cls, it: Presentation) -> Self:
        words, version = it.words, it.shown.version
        return cls(
            id=it.id,
            expires_at=it.expires_at,
            version=version.id,
            ordinal=version.ordinal,
            text=PresentedText(format=it.format, title=words.title, body=it.body, served_sha256=it.served_sha256, **_text(it.shown)),
            statement=words.statement,
            accept_label=words.accept_label,
            decline_label=words.decline_label,
        )


class ClaimsIn(WireModel):
    scrolled_to_end: Flag = omittable()
    dwell_ms: Count = omittable()


class PresentationState(WireModel):
    id: UUID
    expires_at: Instant
    scrolled_to_end: bool | None
    dwell_ms: int | None


class DecisionClaims(ClaimsIn):
    """What the client asserts and the server cannot check. A click made offline keeps its own time here, never in `at`."""

    client_time: InstantIn = omittable()

    def told(self) -> dict[str, Any]:
        """The claims that were made, as they go into the receipt."""
        given = self.model_dump(exclude_unset=True)
        return {name: instant_text(value) if name == "client_time" else value for name, value in given.items()}


class DecisionIn(WireModel):
    decision: Literal["accept", "decline"]
    text_sha256: Sha256
    claims: DecisionClaims = DecisionClaims()


class ReceiptRef(WireModel):
    jws: str
    url: str


class DecisionOut(WireModel):
    """`compliant` and `outstanding` are about the product's agreements after this decision."""

    event: UUID
    type: Literal["accepted", "declined"]
    at: Instant
    ordinal: int
    result: Literal["created", "replayed", "already_accepted"]
    compliant: bool
    outstanding: list[OutstandingOut]
    receipt: ReceiptRef

    @classmethod
    def of(cls, it: Outcome) -> Self:
        return cls(result=it.result, **_happened(it))


class WithdrawalOut(WireModel):
    """`ordinal` is that of the version which was accepted; `compliant` and `outstanding` as after a decision."""

    event: UUID
    type: Literal["withdrawn"]
    at: Instant
    ordinal: int
    result: Literal["created", "replayed"]
    compliant: bool
    outstanding: list[OutstandingOut]
    receipt: ReceiptRef

    @classmethod
    def of(cls, it: Outcome) -> Self:
        return cls(result=it.result, **_happened(it))  # type: ignore[arg-type]  # nothing is accepted by it


def _happened(it: Outcome) -> dict[str, Any]:
    event = it.event
    return {
        "event": event.id,
        "type": event.type,
        "at": event.at,
        "ordinal": event.ordinal,
        "compliant": not it.compliance.outstanding,
        "outstanding": _outstanding(it.compliance),
        "receipt": ReceiptRef(jws=event.receipt, url=f"/v1/me/receipts/{event.id}"),
    }
