"""Withdrawing from an agreement. Earlier acceptances stay on record; accepting again later creates a new event (agreements R22)."""

from uuid import UUID

from sqlalchemy import bindparam, select

from app.agreements.acceptance.decisions import SELECT_EVENT, DecisionOutcome, read_event
from app.agreements.acceptance.presentations import describe_capacity
from app.agreements.facts import load_obligations
from app.agreements.ledger import chain
from app.agreements.ledger.chain import TEXT_QUERY, ChainHead, NewEvent, SessionContext
from app.agreements.models import AgreementDocument, AgreementEvent, AgreementKind, AgreementState, AgreementText, EventType
from app.agreements.obligations import Obligation
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


async def record_withdrawal(world: World, subject: Subject, origin: Origin, document_id: UUID) -> DecisionOutcome:
    """Withdraw from an agreement of any region. Repeating it returns the same event, until the agreement is accepted again.

    Raises AgreementNotFound, NotWithdrawable, NothingToWithdraw.
    """
    keys = await load_signer(world)
    async with world.db.write() as tx:
        head = await chain.lock_ledger(tx, subject.id)
        document = (await tx.execute(_document, {"document": document_id})).one_or_none()
        if document is None:
            raise AgreementNotFound
        user_obligations = await load_obligations(tx, world, subject.id, document.product_id)
        obligation = user_obligations.for_document(document_id)
        if obligation.since is None:
            raise AgreementNotFound
        if document.kind == AgreementKind.NOTICE:
            raise NotWithdrawable
        if obligation.accepted:
            return await _store(tx, world, keys, head, SessionContext(subject, origin), obligation)
        if not obligation.withdrawn:
            raise NothingToWithdraw
        event = read_event((await tx.execute(_last, {"whose": subject.id, "document": document_id})).one())
        return DecisionOutcome(event, "replayed", user_obligations.compliance(world.clock.now()))


async def _store(
    tx: Transaction, world: World, keys: Signer, head: ChainHead, session: SessionContext, obligation: Obligation
) -> DecisionOutcome:
    """Store the withdrawal. It refers to the text that was accepted last and has no presentation (agreements R14)."""
    subject, document_id = session.subject, obligation.document_id
    about = (await tx.execute(_accepted, {"whose": subject.id, "document": document_id})).one()
    event = NewEvent(subject.id, EventType.WITHDRAWN, world.clock.now(), about, subject.actor, session, facts=describe_capacity(about))
    recorded = await chain.append_event(tx, world, keys, head, event)
    await chain.update_state(tx, obligation, event, recorded)
    facts = {"ordinal": about.ordinal, "receipt": str(recorded.id)}
    await record(tx, world, "agreement.withdrawn", event.actor, ("agreement", document_id), event.user_id, **facts)
    # Loaded again: the earlier obligations leave out the versions that were accepted until now.
    user_obligations = await load_obligations(tx, world, subject.id, about.product_id)
    return DecisionOutcome(recorded, "created", user_obligations.compliance(event.at))
