"""Forgetting where an end user agreed from. Events, receipts and the chain stay, and still verify: they hold only a commitment (R25)."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, exists, func, select

from app.agreements.ledger import chain
from app.agreements.models import AgreementEvent, AgreementEventContext, AgreementLedger, AgreementPresentation
from app.db.database import Session
from app.users.models import User


@dataclass(frozen=True)
class Forgotten:
    """How many contexts went, and how many had to stay because of a legal hold."""

    contexts_erased: int
    contexts_kept: int
    legal_hold: bool


async def hold(session: Session, user_id: UUID) -> bool:
    """Take the user's ledger, so that nothing is added meanwhile; whether it is under a legal hold.

    One that has no receipt yet is made: else somebody's first act could take it between this and the user's row, and wait for that.
    """
    if await session.scalar(select(User.id).where(User.id == user_id)) is None:
        return False
    await chain.hold(session, user_id)
    return bool(await session.scalar(select(AgreementLedger.legal_hold).where(AgreementLedger.user_id == user_id)))


async def erase_contexts(session: Session, user_id: UUID) -> Forgotten:
    """Delete the addresses, agents and salts of the user's events, unless they are under a legal hold (R25)."""
    held = await hold(session, user_id)
    mine = AgreementEventContext.event_id.in_(select(AgreementEvent.id).where(AgreementEvent.user_id == user_id))
    if held:
        kept = await session.scalar(select(func.count()).select_from(AgreementEventContext).where(mine))
        return Forgotten(0, int(kept or 0), legal_hold=True)
    return Forgotten((await session.execute(delete(AgreementEventContext).where(mine))).rowcount, 0, legal_hold=False)


async def erase(session: Session, user_id: UUID) -> Forgotten:
    """The contexts, and the showings that no event rests on. What an event rests on is in its signed receipt, and stays as that does."""
    told = await erase_contexts(session, user_id)
    if not told.legal_hold:
        rests = exists(select(AgreementEvent.id).where(AgreementEvent.presentation_id == AgreementPresentation.id))
        await session.execute(delete(AgreementPresentation).where(AgreementPresentation.user_id == user_id, ~rests))
    return told
