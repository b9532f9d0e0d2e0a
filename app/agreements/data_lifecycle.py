"""Export, erasure and retention of an end user's data in agreements.

Erasure deletes the contexts of events: network address, user agent, session and salt. Events, receipts and the chain are kept and still
verify, because they contain only a salted hash of the context (agreements R25).
"""

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
    """How many contexts were erased, and how many were kept because of a legal hold."""

    contexts_erased: int
    contexts_kept: int
    legal_hold: bool


async def lock_and_check_hold(tx: Transaction, user_id: UUID) -> bool:
    """Lock the user's ledger against new events; return whether it is under a legal hold.

    Creates a ledger if there is none yet. Otherwise a first acceptance could lock a new ledger before the user's row, and deadlock.
    """
    if await tx.scalar(select(User.id).where(User.id == user_id)) is None:
        return False
    await chain.lock_ledger(tx, user_id)
    return bool(await tx.scalar(select(AgreementLedger.legal_hold).where(AgreementLedger.user_id == user_id)))


async def erase_contexts(tx: Transaction, user_id: UUID) -> ErasureResult:
    """Delete the addresses, user agents and salts of the user's events, unless there is a legal hold (agreements R25)."""
    has_legal_hold = await lock_and_check_hold(tx, user_id)
    of_user = AgreementEventContext.event_id.in_(select(AgreementEvent.id).where(AgreementEvent.user_id == user_id))
    if has_legal_hold:
        count = await tx.scalar(select(func.count()).select_from(AgreementEventContext).where(of_user))
        return ErasureResult(0, int(count or 0), legal_hold=True)
    return ErasureResult((await tx.execute(delete(AgreementEventContext).where(of_user))).rowcount, 0, legal_hold=False)


async def erase(tx: Transaction, user_id: UUID) -> ErasureResult:
    """Erase the contexts, and the presentations without an event. A presentation with an event is kept: the receipt contains its data."""
    result = await erase_contexts(tx, user_id)
    if not result.legal_hold:
        has_event = exists(select(AgreementEvent.id).where(AgreementEvent.presentation_id == AgreementPresentation.id))
        await tx.execute(delete(AgreementPresentation).where(AgreementPresentation.user_id == user_id, ~has_event))
    return result


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

_has_legal_hold = exists().where(AgreementLedger.user_id == AgreementPresentation.user_id, AgreementLedger.legal_hold.is_(True))
_has_event = exists().where(AgreementEvent.presentation_id == AgreementPresentation.id)
_next = aliased(AgreementVersion)


async def prune_presentations(world: World) -> int:
    """Delete a batch of undecided presentations without an event; return their number.

    `PRESENTATION_RETENTION` counts from when they expired. Rows are locked before the DELETE checks the conditions again, so a legal hold
    that is set at the same time is respected.
    """
    P = AgreementPresentation  # noqa: N806  short for the model
    is_over = P.expires_at < world.clock.now() - world.settings.presentation_retention
    return await prune(world.db, P, P.decided_at.is_(None), is_over, ~_has_event, ~_has_legal_hold)


async def prune_contexts(world: World) -> int:
    """Delete a batch of the contexts of events about versions superseded longer than `CONTEXT_RETENTION` ago; return their number.

    Locks the ledgers in the order of their users, so a legal hold that is set at the same time is respected.
    """
    old = _select_contexts(AgreementVersion.id.in_(_select_superseded(world)))
    lock_free = (
        select(AgreementLedger.user_id).where(AgreementLedger.legal_hold.is_(False)).order_by(AgreementLedger.user_id).with_for_update()
    )
    async with world.db.write() as tx:
        rows = (await tx.execute(old.limit(BATCH))).all()
        if not rows:
            return 0
        free = set((await tx.scalars(lock_free.where(AgreementLedger.user_id.in_({row.user_id for row in rows})))).all())
        event_ids = [row.event_id for row in rows if row.user_id in free]
        return (await tx.execute(delete(table(AgreementEventContext)).where(AgreementEventContext.event_id.in_(event_ids)))).rowcount


def _select_superseded(world: World) -> AnySelect:
    """Select the versions whose successor took effect longer than `CONTEXT_RETENTION` ago."""
    limit = world.clock.now() - world.settings.context_retention
    successor = (
        _next.document_id == AgreementVersion.document_id,
        _next.status == VersionStatus.PUBLISHED,
        _next.ordinal > AgreementVersion.ordinal,
        _next.effective_at <= limit,
    )
    return select(AgreementVersion.id).where(exists().where(*successor))


def _select_contexts(superseded: ColumnElement[bool]) -> AnySelect:
    return (
        select(AgreementEventContext.event_id, AgreementEvent.user_id)
        .join(AgreementEvent, AgreementEvent.id == AgreementEventContext.event_id)
        .join(AgreementVersion, AgreementVersion.id == AgreementEvent.version_id)
        .join(AgreementLedger, AgreementLedger.user_id == AgreementEvent.user_id)
        .where(superseded, AgreementLedger.legal_hold.is_(False))
    )
