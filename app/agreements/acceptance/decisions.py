"""Accepting and declining: one transaction under the end user's ledger, one event for each presentation, whatever races (agreements R14 to R21)."""

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

_spend = (
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
_withdrawn_at = (
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
        AgreementEvent.seq > _withdrawn_at,
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
class Decision:
    """What the end user says of the text with this hash, with what the client claims of how it came about."""

    type: EventType
    text_sha256: str
    claims: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The event that stands, how it came to this answer, and where the end user stands with the product's agreements now."""

    event: RecordedEvent
    result: Result
    compliance: Compliance


async def decide(world: World, subject: Subject, origin: Origin, presentation_id: UUID, decision: Decision) -> Outcome:
    """Accept or decline what a presentation showed. Saying the same again answers with the same event, also after it expired.

    Raises PresentationNotFound, PresentationElsewhere, TextMismatch, AlreadyDecided, PresentationExpired, AgreementVersionCancelled
    and what `admission.refusal` finds; then nothing is stored.
    """
    keys = await load_signer(world)
    async with world.db.write() as tx:
        head = await chain.lock_ledger(tx, subject.id)
        now = world.clock.now()
        place = {"presentation": presentation_id, "whose": subject.id}
        spent = (await tx.execute(_spend, {**place, "now": now})).rowcount == 1
        shown = (await tx.execute(PRESENTATION_DETAILS, place)).one_or_none()
        if shown is None:
            raise PresentationNotFound
        if shown.session_id not in {None, subject.session_id}:  # None: of a release before
            raise PresentationElsewhere
        if shown.sha256 != decision.text_sha256:
            raise TextMismatch
        if not spent and shown.decided_at is None:
            raise PresentationExpired
        found = await load_obligations(tx, world, subject.id, shown.product_id)
        duty = found.for_document(shown.document_id)
        earlier = await _accepted_before(tx, shown, duty) if decision.type is EventType.ACCEPTED else None
        if not spent:
            return Outcome(*await _again(tx, shown, decision.type, earlier), found.compliance(now))
        if earlier is not None:
            return Outcome(earlier, "already_accepted", found.compliance(now))
        await ensure_published(tx, shown, now)
        case = DecisionFacts(decision.type, shown, duty, now, await _languages(tx, shown))
        if (problem := admission.find_refusal(case)) is not None:
            raise problem
        hand, claims = SessionContext(subject, origin), _claims(shown, decision.claims)
        act = NewEvent(subject.id, decision.type, now, shown, subject.actor, hand, shown, claims, describe_capacity(shown))
        return await _take(tx, world, keys, head, act, found)


async def _again(tx: Transaction, shown: AnyRow, wanted: EventType, earlier: RecordedEvent | None) -> tuple[RecordedEvent, Result]:
    """What a spent presentation answers to the word that spent it; without an event of its own, that was an acceptance which
    stood already (agreements R19). Raises AlreadyDecided for the other word."""
    own = (await tx.execute(_decided, {"presentation": shown.id})).one_or_none()
    if own is not None and own.type == wanted:
        return read_event(own), "replayed"
    if own is None and earlier is not None:
        return earlier, "already_accepted"
    raise AlreadyDecided


async def _accepted_before(tx: Transaction, shown: AnyRow, duty: Obligation) -> RecordedEvent | None:
    """The acceptance of the very version that is shown, in whatever language and on whatever device it was given; unless it was
    withdrawn since (agreements R22)."""
    if duty.accepted < shown.ordinal:
        return None
    row = (await tx.execute(_accepted, {"whose": shown.user_id, "version": shown.version_id})).one_or_none()
    return read_event(row) if row is not None else None


async def _languages(tx: Transaction, shown: AnyRow) -> Collection[str]:
    """Those that the version was ever presented in, where it matters (agreements R18)."""
    if not shown.required_locales:
        return ()
    return (await tx.scalars(_locales, {"whose": shown.user_id, "version": shown.version_id})).all()


def read_event(row: AnyRow) -> RecordedEvent:
    """An event that was stored before."""
    return RecordedEvent(row.id, row.type, row.at, row.ordinal, row.receipt)


def _claims(shown: AnyRow, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the client claimed while the text was shown, overruled by what it claims with the decision."""
    before = {"scrolled_to_end": shown.scrolled_to_end, "dwell_ms": shown.dwell_ms}
    return {name: value for name, value in {**before, **given}.items() if value is not None}


async def _take(tx: Transaction, world: World, keys: Signer, head: ChainHead, act: NewEvent, found: UserObligations) -> Outcome:
    """Store the decision for the version that was shown, outdated or not (agreements R17), and tell where that leaves its end user."""
    about = act.about
    event = await chain.append(tx, world, keys, head, act)
    after = await chain.update_state(tx, found.for_document(about.document_id), act, event)
    facts = {"ordinal": about.ordinal, "presentation": str(about.id), "receipt": str(event.id)}
    await record(tx, world, f"agreement.{act.type}", act.actor, ("agreement", about.document_id), act.user_id, **facts)
    return Outcome(event, "created", found.with_changed(after).compliance(act.at))
