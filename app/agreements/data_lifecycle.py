"""Forgetting where an end user agreed from. Events, receipts and the chain stay, and still verify: they hold only a commitment (agreements R25)."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import aliased

from app.agreements.ledger import chain
from app.agreements.models import (
    AgreementEvent,
    AgreementEventContext,
    AgreementLedger,
    AgreementPresentation,
    AgreementState,
    AgreementVersion,
    VersionStatus,
)
from app.db.base import table
from app.db.database import Transaction
from app.db.export_pages import EXPORTED_USER, ExportSection
from app.db.pruning import prune
from app.db.types import AnySelect
from app.users.models import User
from app.world import World


@dataclass(frozen=True)
class ErasureResult:
    """How many contexts went, and how many had to stay because of a legal hold."""

    contexts_erased: int
    contexts_kept: int
    legal_hold: bool


async def lock(tx: Transaction, user_id: UUID) -> bool:
    """Take the user's ledger, so that nothing is added meanwhile; whether it is under a legal hold.

    One that has no receipt yet is made: else somebody's first act could take it between this and the user's row, and wait for that.
    """
    if await tx.scalar(select(User.id).where(User.id == user_id)) is None:
        return False
    await chain.lock_ledger(tx, user_id)
    return bool(await tx.scalar(select(AgreementLedger.legal_hold).where(AgreementLedger.user_id == user_id)))


async def erase_contexts(tx: Transaction, user_id: UUID) -> ErasureResult:
    """Delete the addresses, agents and salts of the user's events, unless they are under a legal hold (agreements R25)."""
    held = await lock(tx, user_id)
    mine = AgreementEventContext.event_id.in_(select(AgreementEvent.id).where(AgreementEvent.user_id == user_id))
    if held:
        kept = await tx.scalar(select(func.count()).select_from(AgreementEventContext).where(mine))
        return ErasureResult(0, int(kept or 0), legal_hold=True)
    return ErasureResult((await tx.execute(delete(AgreementEventContext).where(mine))).rowcount, 0, legal_hold=False)


async def erase(tx: Transaction, user_id: UUID) -> ErasureResult:
    """The contexts, and the showings that no event rests on. What an event rests on is in its signed receipt, and stays as that does."""
    told = await erase_contexts(tx, user_id)
    if not told.legal_hold:
        rests = exists(select(AgreementEvent.id).where(AgreementEvent.presentation_id == AgreementPresentation.id))
        await tx.execute(delete(AgreementPresentation).where(AgreementPresentation.user_id == user_id, ~rests))
    return told


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
    ExportSection("agreements", _states.where(AgreementState.user_id == EXPORTED_USER), AgreementState.document_id),
    ExportSection("presentations", _presentations.where(AgreementPresentation.user_id == EXPORTED_USER), AgreementPresentation.id),
    ExportSection("receipts", _receipts.where(AgreementEvent.user_id == EXPORTED_USER), AgreementEvent.id),
)


BATCH = 1000
"""Rows of one transaction at most."""

_held = exists().where(AgreementLedger.user_id == AgreementPresentation.user_id, AgreementLedger.legal_hold.is_(True))
_named = exists().where(AgreementEvent.presentation_id == AgreementPresentation.id)
_next = aliased(AgreementVersion)


async def prune_presentations(world: World) -> int:
    """Delete a batch of the showings that were never decided and that no event names; how many. `PRESENTATION_RETENTION` runs from
    when they could be decided no longer.

    They are held first: who puts their end user under legal hold meanwhile waits, or was first, and then it is seen by the DELETE.
    """
    P = AgreementPresentation  # noqa: N806  as the model is called
    over = P.expires_at < world.clock.now() - world.settings.presentation_retention
    return await prune(world.db, P, P.decided_at.is_(None), over, ~_named, ~_held)


async def prune_contexts(world: World) -> int:
    """Delete a batch of the contexts of events about versions that were superseded longer than `CONTEXT_RETENTION` ago; how many.

    Their ledgers are held, in the order of their users: who puts one under legal hold meanwhile waits, or was first.
    """
    old = _old(AgreementVersion.id.in_(_superseded(world)))
    held = select(AgreementLedger.user_id).where(AgreementLedger.legal_hold.is_(False)).order_by(AgreementLedger.user_id).with_for_update()
    async with world.db.write() as tx:
        chosen = (await tx.execute(old.limit(BATCH))).all()
        if not chosen:
            return 0
        free = set((await tx.scalars(held.where(AgreementLedger.user_id.in_({row.user_id for row in chosen})))).all())
        gone = [row.event_id for row in chosen if row.user_id in free]
        return (await tx.execute(delete(table(AgreementEventContext)).where(AgreementEventContext.event_id.in_(gone)))).rowcount


def _superseded(world: World) -> AnySelect:
    """The versions whose successor took effect so long ago."""
    long_ago = world.clock.now() - world.settings.context_retention
    successor = (
        _next.document_id == AgreementVersion.document_id,
        _next.status == VersionStatus.PUBLISHED,
        _next.ordinal > AgreementVersion.ordinal,
        _next.effective_at <= long_ago,
    )
    return select(AgreementVersion.id).where(exists().where(*successor))


def _old(superseded: ColumnElement[bool]) -> AnySelect:
    return (
        select(AgreementEventContext.event_id, AgreementEvent.user_id)
        .join(AgreementEvent, AgreementEvent.id == AgreementEventContext.event_id)
        .join(AgreementVersion, AgreementVersion.id == AgreementEvent.version_id)
        .join(AgreementLedger, AgreementLedger.user_id == AgreementEvent.user_id)
        .where(superseded, AgreementLedger.legal_hold.is_(False))
    )
