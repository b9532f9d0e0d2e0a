"""Ending an agreement from now on: the time before stays evidenced, and accepting again later is a new event (agreements R22)."""

from uuid import UUID

from sqlalchemy import bindparam, select

from app.agreements.acceptance.decisions import SELECT_EVENT, Outcome, read_event
from app.agreements.acceptance.presentations import describe_capacity
from app.agreements.facts import load_obligations
from app.agreements.ledger import chain
from app.agreements.ledger.chain import TEXT_QUERY, ChainHead, NewEvent, SessionContext
from app.agreements.models import AgreementDocument, AgreementEvent, AgreementState, AgreementText, EventType, Kind
from app.agreements.obligations import UserObligations
from app.agreements.problems import AgreementNotFound, NothingToWithdraw, NotWithdrawable
from app.db.database import Transaction
from app.events.service import record
from app.security.signing import Signer
from app.signing_keys.service import load_signer
from app.users.models import User
from app.web.callers import Origin, Subject
from app.world import World

_document = select(AgreementDocument.product_id, AgreementDocument.kind).where(AgreementDocument.id == bindparam("document"))
_accepted = (
    TEXT_QUERY.add_columns(User.age_band)
    .join(AgreementEvent, AgreementEvent.text_id == AgreementText.id)
    .join(AgreementState, AgreementState.accepted_event_id == AgreementEvent.id)
    .join(User, User.id == AgreementState.user_id)
    .where(AgreementState.user_id == bindparam("whose"), AgreementState.document_id == bindparam("document"))
)
_last = (
    SELECT_EVENT.where(
        AgreementEvent.user_id == bindparam("whose"),
        AgreementEvent.document_id == bindparam("document"),
        AgreementEvent.type == EventType.WITHDRAWN,
    )
    .order_by(AgreementEvent.seq.desc())
    .limit(1)
)


async def withdraw(world: World, subject: Subject, origin: Origin, document_id: UUID) -> Outcome:
    """Withdraw from the agreement, whatever region it is for; doing so again answers with the same event until it is accepted anew.

    Raises AgreementNotFound, NotWithdrawable, NothingToWithdraw.
    """
    keys = await load_signer(world)
    async with world.db.write() as tx:
        head = await chain.lock_ledger(tx, subject.id)
        document = (await tx.execute(_document, {"document": document_id})).one_or_none()
        if document is None:
            raise AgreementNotFound
        found = await load_obligations(tx, world, subject.id, document.product_id)
        duty = found.for_document(document_id)
        if duty.since is None:
            raise AgreementNotFound
        if document.kind == Kind.NOTICE:
            raise NotWithdrawable
        if duty.accepted:
            return await _take(tx, world, keys, head, SessionContext(subject, origin), document_id, found)
        if not duty.withdrawn:
            raise NothingToWithdraw
        event = read_event((await tx.execute(_last, {"whose": subject.id, "document": document_id})).one())
        return Outcome(event, "replayed", found.compliance(world.clock.now()))


async def _take(
    tx: Transaction, world: World, keys: Signer, head: ChainHead, hand: SessionContext, document_id: UUID, found: UserObligations
) -> Outcome:
    """The event is about the text that was accepted last; nothing is on the screen (agreements R14)."""
    about = (await tx.execute(_accepted, {"whose": hand.subject.id, "document": document_id})).one()
    act = NewEvent(hand.subject.id, EventType.WITHDRAWN, world.clock.now(), about, hand.subject.actor, hand, facts=describe_capacity(about))
    event = await chain.append(tx, world, keys, head, act)
    await chain.update_state(tx, found.for_document(document_id), act, event)
    facts = {"ordinal": about.ordinal, "receipt": str(event.id)}
    await record(tx, world, "agreement.withdrawn", act.actor, ("agreement", document_id), act.user_id, **facts)
    after = await load_obligations(tx, world, hand.subject.id, about.product_id)  # anew: `found` lacks the versions that were met until now
    return Outcome(event, "created", after.compliance(act.at))
