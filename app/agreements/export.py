"""What an end user was shown and agreed to, as the export tells it: each receipt is the signed record itself."""

from sqlalchemy import select

from app.agreements.models import AgreementEvent, AgreementEventContext, AgreementPresentation, AgreementState
from app.db.export_pages import WHOSE, Section

_states = select(
    AgreementState.document_id,
    AgreementState.accepted_ordinal,
    AgreementState.declined_ordinal,
    AgreementState.notified_ordinal,
    AgreementState.withdrawn_at,
    AgreementState.updated_at,
)
_presentations = select(
    AgreementPresentation.id,
    AgreementPresentation.text_id,
    AgreementPresentation.format,
    AgreementPresentation.locale_requested,
    AgreementPresentation.client,
    AgreementPresentation.app_version,
    AgreementPresentation.platform,
    AgreementPresentation.ui_ref,
    AgreementPresentation.presented_at,
    AgreementPresentation.scrolled_to_end,
    AgreementPresentation.dwell_ms,
    AgreementPresentation.decided_at,
)
_receipts = select(
    AgreementEvent.id,
    AgreementEvent.type,
    AgreementEvent.at,
    AgreementEvent.document_id,
    AgreementEvent.version_id,
    AgreementEvent.ordinal,
    AgreementEvent.text_id,
    AgreementEvent.seq,
    AgreementEvent.receipt.label("jws"),
    AgreementEventContext.ip,
    AgreementEventContext.user_agent,
    AgreementEventContext.session_id,
).outerjoin(AgreementEventContext, AgreementEventContext.event_id == AgreementEvent.id)
SECTIONS = (
    Section("agreements", _states.where(AgreementState.user_id == WHOSE), AgreementState.document_id),
    Section("presentations", _presentations.where(AgreementPresentation.user_id == WHOSE), AgreementPresentation.id),
    Section("receipts", _receipts.where(AgreementEvent.user_id == WHOSE), AgreementEvent.id),
)
