"""What is kept only for a time (R26): showings that led to nothing, and where acts came from once their version is long superseded.
Receipts, chain and seals stay, and verify as before. Whatever is under legal hold stays whole."""

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.orm import aliased

from app.agreements.models import (
    AgreementEvent,
    AgreementEventContext,
    AgreementLedger,
    AgreementPresentation,
    AgreementVersion,
    VersionStatus,
)
from app.db.base import table
from app.db.pruning import prune
from app.db.types import AnySelect
from app.world import World

BATCH = 1000
"""Rows of one transaction at most."""

_held = exists().where(AgreementLedger.user_id == AgreementPresentation.user_id, AgreementLedger.legal_hold.is_(True))
_named = exists().where(AgreementEvent.presentation_id == AgreementPresentation.id)
_next = aliased(AgreementVersion)


async def presentations(world: World) -> int:
    """Delete a batch of the showings that were never decided and that no event names; how many. `PRESENTATION_RETENTION` runs from
    when they could be decided no longer.

    They are held first: who puts their end user under legal hold meanwhile waits, or was first, and then it is seen by the DELETE.
    """
    P = AgreementPresentation  # noqa: N806  as the model is called
    over = P.expires_at < world.clock.now() - world.settings.presentation_retention
    return await prune(world.db, P, P.decided_at.is_(None), over, ~_named, ~_held)


async def contexts(world: World) -> int:
    """Delete a batch of the contexts of events about versions that were superseded longer than `CONTEXT_RETENTION` ago; how many.

    Their ledgers are held, in the order of their users: who puts one under legal hold meanwhile waits, or was first.
    """
    old = _old(AgreementVersion.id.in_(_superseded(world)))
    held = select(AgreementLedger.user_id).where(AgreementLedger.legal_hold.is_(False)).order_by(AgreementLedger.user_id).with_for_update()
    async with world.db.write() as session:
        chosen = (await session.execute(old.limit(BATCH))).all()
        if not chosen:
            return 0
        free = set((await session.scalars(held.where(AgreementLedger.user_id.in_({row.user_id for row in chosen})))).all())
        gone = [row.event_id for row in chosen if row.user_id in free]
        return (await session.execute(delete(table(AgreementEventContext)).where(AgreementEventContext.event_id.in_(gone)))).rowcount


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
