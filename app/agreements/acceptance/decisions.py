"""Accepting and declining: one transaction under the lock of the end user's ledger, one event for each presentation.

The lock also decides between concurrent requests (agreements R14 to R21).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import aliased

from app.agreements.acceptance import admission
from app.agreements.acceptance.admission import DecisionFacts
from app.agreements.acceptance.presentations import PRESENTATION_DETAILS, describe_capacity, ensure_published
from app.agreements.facts import load_obligations
from app.agreements.ledger import chain
from app.agreements.ledger.chain import ChainHead, NewEvent, RecordedEvent, SessionContext
from app.agreements.models import AgreementEvent, AgreementPresentation, AgreementText, EventType
from app.agreements.obligations import Compliance, Obligation, UserObligations
from app.agreements.problems import AlreadyDecided, PresentationElsewhere, PresentationExpired, PresentationNotFound, TextMismatch
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import record
from app.security.signing import Signer
from app.signing_keys.service import load_signer
from app.web.callers import Origin, Subject
from app.world import World

Result = Literal["created", "replayed", "already_accepted"]

_mark_decided = (
    update(AgreementPresentation)
    .where(
        AgreementPresentation.id == bindparam("presentation"),
        AgreementPresentation.user_id == bindparam("whose"),
        AgreementPresentation.decided_at.is_(None),
        AgreementPresentation.expires_at > bindparam("now"),
    )
    .values(decided_at=bindparam("now"))
)
SELECT_EVENT = select(AgreementEvent.id, AgreementEvent.type, AgreementEvent.at, AgreementEvent.ordinal, AgreementEvent.receipt)
_decided = SELECT_EVENT.where(AgreementEvent.presentation_id == bindparam("presentation"))
_withdrawal = aliased(AgreementEvent)
_last_withdrawal_seq = (
    select(func.coalesce(func.max(_withdrawal.seq), 0))
    .where(
        _withdrawal.user_id == bindparam("whose"),
        _withdrawal.document_id == AgreementEvent.document_id,
        _withdrawal.type == EventType.WITHDRAWN,
    )
    .scalar_subquery()
)
_accepted = (
    SELECT_EVENT.where(
        AgreementEvent.user_id == bindparam("whose"),
        AgreementEvent.version_id == bindparam("version"),
        AgreementEvent.type == EventType.ACCEPTED,
        AgreementEvent.seq > _last_withdrawal_seq,
    )
    .order_by(AgreementEvent.seq.desc())
    .limit(1)
)
_locales = (
    select(AgreementText.locale)
    .join(AgreementPresentation, AgreementPresentation.text_id == AgreementText.id)
    .where(AgreementPresentation.user_id == bindparam("whose"), AgreementText.version_id == bindparam("version"))
)


@dataclass(frozen=True)
class UserDecision:
    """The end user's decision on the text with this hash, and the client's unproven claims about it."""

    type: EventType
    text_sha256: str
    claims: Mapping[str, Any]


@dataclass(frozen=True)
class DecisionOutcome:
    """The event that records the decision, how this request got it, and the user's compliance with the product's agreements afterwards."""

    event: RecordedEvent
    result: Result
    compliance: Compliance


async def record_decision(world: World, subject: Subject, origin: Origin, presentation_id: UUID, decision: UserDecision) -> DecisionOutcome:
    """Accept or decline a presented text. Repeating the same decision returns the same event, even after the presentation expired.

    Raises PresentationNotFound, PresentationElsewhere, TextMismatch, AlreadyDecided, PresentationExpired, AgreementVersionCancelled
    and the problems of `admission.find_refusal`; then nothing is stored.
    """
    keys = await load_signer(world)
    async with world.db.write() as tx:
        head = await chain.lock_ledger(tx, subject.id)
        now = world.clock.now()
        parameters = {"presentation": presentation_id, "whose": subject.id}
        is_first = (await tx.execute(_mark_decided, {**parameters, "now": now})).rowcount == 1
        presentation = (await tx.execute(PRESENTATION_DETAILS, parameters)).one_or_none()
        if presentation is None:
            raise PresentationNotFound
        if presentation.session_id not in {None, subject.session_id}:  # None: stored by an earlier release
            raise PresentationElsewhere
        if presentation.sha256 != decision.text_sha256:
            raise TextMismatch
        if not is_first and presentation.decided_at is None:
            raise PresentationExpired
        user_obligations = await load_obligations(tx, world, subject.id, presentation.product_id)
        obligation = user_obligations.for_document(presentation.document_id)
        earlier = await _find_acceptance(tx, presentation, obligation) if decision.type is EventType.ACCEPTED else None
        if not is_first:
            return DecisionOutcome(*await _replay(tx, presentation, decision.type, earlier), user_obligations.compliance(now))
        if earlier is not None:
            return DecisionOutcome(earlier, "already_accepted", user_obligations.compliance(now))
        await ensure_published(tx, presentation, now)
        facts = DecisionFacts(decision.type, presentation, obligation, now, await _list_locales(tx, presentation))
        if (problem := admission.find_refusal(facts)) is not None:
            raise problem
        session, claims = SessionContext(subject, origin), _merge_claims(presentation, decision.claims)
        capacity = describe_capacity(presentation)
        event = NewEvent(subject.id, decision.type, now, presentation, subject.actor, session, presentation, claims, capacity)
        return await _store(tx, world, keys, head, event, user_obligations)


async def _replay(tx: Transaction, presentation: AnyRow, type_: EventType, earlier: RecordedEvent | None) -> tuple[RecordedEvent, Result]:
    """Answer a decision on a presentation that is already decided. Raises AlreadyDecided if the decisions differ.

    A decided presentation without its own event was an acceptance of a version that was already accepted (agreements R19).
    """
    row = (await tx.execute(_decided, {"presentation": presentation.id})).one_or_none()
    if row is not None and row.type == type_:
        return read_event(row), "replayed"
    if row is None and earlier is not None:
        return earlier, "already_accepted"
    raise AlreadyDecided


async def _find_acceptance(tx: Transaction, presentation: AnyRow, obligation: Obligation) -> RecordedEvent | None:
    """Find the acceptance of exactly this version, in any language, unless it was withdrawn since (agreements R22)."""
    if obligation.accepted < presentation.ordinal:
        return None
    row = (await tx.execute(_accepted, {"whose": presentation.user_id, "version": presentation.version_id})).one_or_none()
    return read_event(row) if row is not None else None


async def _list_locales(tx: Transaction, presentation: AnyRow) -> Collection[str]:
    """List all languages in which the user has seen the version; empty if the document requires none (agreements R18)."""
    if not presentation.required_locales:
        return ()
    return (await tx.scalars(_locales, {"whose": presentation.user_id, "version": presentation.version_id})).all()


def read_event(row: AnyRow) -> RecordedEvent:
    """Convert a row of `SELECT_EVENT` to an event."""
    return RecordedEvent(row.id, row.type, row.at, row.ordinal, row.receipt)


def _merge_claims(presentation: AnyRow, claims: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the client's claims while the text was shown with its claims in the decision, which take precedence."""
    earlier = {"scrolled_to_end": presentation.scrolled_to_end, "dwell_ms": presentation.dwell_ms}
    return {name: value for name, value in {**earlier, **claims}.items() if value is not None}


async def _store(
    tx: Transaction, world: World, keys: Signer, head: ChainHead, event: NewEvent, user_obligations: UserObligations
) -> DecisionOutcome:
    """Store the decision on the presented version, even if a newer one is in effect (agreements R17)."""
    presentation = event.about
    recorded = await chain.append_event(tx, world, keys, head, event)
    changed = await chain.update_state(tx, user_obligations.for_document(presentation.document_id), event, recorded)
    facts = {"ordinal": presentation.ordinal, "presentation": str(presentation.id), "receipt": str(recorded.id)}
    await record(tx, world, f"agreement.{event.type}", event.actor, ("agreement", presentation.document_id), event.user_id, **facts)
    return DecisionOutcome(recorded, "created", user_obligations.with_changed(changed).compliance(event.at))
