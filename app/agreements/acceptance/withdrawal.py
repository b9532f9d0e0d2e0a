"""Ending an agreement from now on: the time before stays evidenced, and accepting again later is a new event (R22)."""

from uuid import UUID

from sqlalchemy import bindparam, select

from app.agreements.acceptance.decisions import EVENTS, Outcome, recorded
from app.agreements.acceptance.presentations import capacity
from app.agreements.facts import standing
from app.agreements.ledger import chain
from app.agreements.ledger.chain import WHOLE, Act, Hand, Head
from app.agreements.models import AgreementDocument, AgreementEvent, AgreementState, AgreementText, EventType, Kind
from app.agreements.obligations import Standing
from app.agreements.problems import AgreementNotFound, NothingToWithdraw, NotWithdrawable
from app.db.database import Session
from app.events.service import record
from app.security.signing import Signer
from app.signing_keys.service import signer
from app.users.models import User
from app.web.callers import Origin, Subject
from app.world import World

_document = select(AgreementDocument.product_id, AgreementDocument.kind).where(AgreementDocument.id == bindparam("document"))
_accepted = (
    WHOLE.add_columns(User.age_band)
    .join(AgreementEvent, AgreementEvent.text_id == AgreementText.id)
    .join(AgreementState, AgreementState.accepted_event_id == AgreementEvent.id)
    .join(User, User.id == AgreementState.user_id)
    .where(AgreementState.user_id == bindparam("whose"), AgreementState.document_id == bindparam("document"))
)
_last = (
    EVENTS.where(
        AgreementEvent.user_id == bindparam("whose"),
        AgreementEvent.document_id == bindparam("document"),
        AgreementEvent.type == EventType.WITHDRAWN,
    )
    .order_by(AgreementEvent.seq.desc())
    .limit(1)
)


async def withdraw(world: World, by: Subject, origin: Origin, document_id: UUID) -> Outcome:
    """Withdraw from the agreement, whatever region it is for; doing so again answers with the same event until it is accepted anew.

    Raises AgreementNotFound, NotWithdrawable, NothingToWithdraw.
    """
    keys = await signer(world)
    async with world.db.write() as session:
        head = await chain.hold(session, by.id)
        document = (await session.execute(_document, {"document": document_id})).one_or_none()
        if document is None:
            raise AgreementNotFound
        found = await standing(session, world, by.id, document.product_id)
        duty = found.of(document_id)
        if duty.since is None:
            raise AgreementNotFound
        if document.kind == Kind.NOTICE:
            raise NotWithdrawable
        if duty.accepted:
            return await _take(session, world, keys, head, Hand(by, origin), document_id, found)
        if not duty.withdrawn:
            raise NothingToWithdraw
        event = recorded((await session.execute(_last, {"whose": by.id, "document": document_id})).one())
        return Outcome(event, "replayed", found.compliance(world.clock.now()))


async def _take(session: Session, world: World, keys: Signer, head: Head, hand: Hand, document_id: UUID, found: Standing) -> Outcome:
    """The event is about the text that was accepted last; nothing is on the screen (R14)."""
    about = (await session.execute(_accepted, {"whose": hand.by.id, "document": document_id})).one()
    act = Act(hand.by.id, EventType.WITHDRAWN, world.clock.now(), about, hand.by.actor, hand, facts=capacity(about))
    event = await chain.append(session, world, keys, head, act)
    await chain.project(session, found.of(document_id), act, event)
    facts = {"ordinal": about.ordinal, "receipt": str(event.id)}
    await record(session, world, "agreement.withdrawn", act.actor, ("agreement", document_id), act.user_id, **facts)
    after = await standing(session, world, hand.by.id, about.product_id)  # anew: `found` lacks the versions that were met until now
    return Outcome(event, "created", after.compliance(act.at))
