"""Wire models of the erasure and the export of an end user."""

from typing import Any, Literal, Self
from uuid import UUID

from app.agreements.data_lifecycle import ErasureResult
from app.web.fields import Instant, WireModel


class ErasureOut(WireModel):
    """The result of an erasure.

    `legal_hold`: IP address, user agent and session of `contexts_kept` events were kept. Erase again when the hold is released.
    """

    id: UUID
    status: Literal["erased"] = "erased"
    legal_hold: bool
    contexts_kept: int

    @classmethod
    def of(cls, user_id: UUID, result: ErasureResult) -> Self:
        return cls(id=user_id, legal_hold=result.legal_hold, contexts_kept=result.contexts_kept)


class ExportedProfile(WireModel):
    id: UUID
    email: str
    email_verified_at: Instant | None
    display_name: str | None
    locale: str | None
    region: str | None
    timezone: str | None
    age_band: str
    preferences: dict[str, Any]
    external_id: str | None
    metadata: dict[str, Any]
    status: str
    created_at: Instant
    last_login_at: Instant | None


class ExportedFactor(WireModel):
    id: UUID
    kind: str
    state: str
    name: str | None
    created_at: Instant
    confirmed_at: Instant | None
    used_at: Instant | None
    expires_at: Instant | None


class ExportedSession(WireModel):
    id: UUID
    amr: list[str]
    ip: str | None
    user_agent: str | None
    product: str | None
    device: dict[str, str | None] | None
    created_at: Instant
    last_seen_at: Instant | None
    expires_at: Instant
    revoked_at: Instant | None
    revoked_reason: str | None


class ExportedDeviceCode(WireModel):
    """A device grant that the end user approved. `ip`, `user_agent` and `device` are those of the application that requested it."""

    id: UUID
    status: str
    ip: str | None
    user_agent: str | None
    product: str | None
    device: dict[str, str | None] | None
    session_id: UUID
    created_at: Instant
    expires_at: Instant
    decided_at: Instant


class ExportedLicense(WireModel):
    license_id: UUID
    added_at: Instant
    product: str
    key_last4: str
    starts_at: Instant | None
    expires_at: Instant | None
    suspended_at: Instant | None
    revoked_at: Instant | None


class ExportedActivation(WireModel):
    id: UUID
    license_id: UUID
    fingerprint: str
    name: str | None
    platform: str | None
    app_version: str | None
    activated_at: Instant
    last_seen_at: Instant
    lease_expires_at: Instant | None
    released_at: Instant | None
    release_reason: str | None


class ExportedAgreement(WireModel):
    document_id: UUID
    accepted_ordinal: int
    declined_ordinal: int
    notified_ordinal: int
    withdrawn_at: Instant | None
    updated_at: Instant


class ExportedPresentation(WireModel):
    id: UUID
    text_id: UUID
    format: str
    locale_requested: str | None
    client: str | None
    app_version: str | None
    platform: str | None
    ui_ref: str | None
    presented_at: Instant
    scrolled_to_end: bool | None
    dwell_ms: int | None
    decided_at: Instant | None


class ExportedReceipt(WireModel):
    """`jws` is the signed record. `ip`, `user_agent` and `session_id` are stored next to it and may have been erased."""

    id: UUID
    type: str
    at: Instant
    document_id: UUID
    version_id: UUID
    ordinal: int
    text_id: UUID
    seq: int
    jws: str
    ip: str | None
    user_agent: str | None
    session_id: UUID | None


class ExportedLetter(WireModel):
    id: UUID
    template: str
    locale: str
    created_at: Instant
    sent_at: Instant | None
    failed_at: Instant | None


class ExportedEvent(WireModel):
    id: UUID
    at: Instant
    type: str
    actor_type: str
    subject_type: str
    subject_id: UUID
    data: dict[str, Any]


class Export(WireModel):
    """Everything stored about an end user. `schema_version` rises when a field is removed or changes its meaning."""

    schema_version: Literal[1]
    exported_at: Instant
    profile: ExportedProfile
    factors: list[ExportedFactor]
    sessions: list[ExportedSession]
    device_codes: list[ExportedDeviceCode]
    licenses: list[ExportedLicense]
    activations: list[ExportedActivation]
    agreements: list[ExportedAgreement]
    presentations: list[ExportedPresentation]
    receipts: list[ExportedReceipt]
    letters: list[ExportedLetter]
    events: list[ExportedEvent]
