"""A version's life: drafted, changed or deleted as a draft, published, cancelled while nobody could decide on it yet. Nothing else."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from anyio import to_thread
from sqlalchemy import bindparam, delete, exists, insert, select, update

from app.agreements import rules
from app.agreements.models import AgreementEvent, AgreementText, AgreementVersion, VersionStatus
from app.agreements.problems import (
    AgreementVersionCancelled,
    AgreementVersionDecided,
    AgreementVersionNotScheduled,
    AgreementVersionPublished,
)
from app.agreements.publishing.documents import AgreementDetails, load_version, lock_document, lock_version
from app.agreements.rules import Publication
from app.base.problems import Problem
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.world import World

Values = dict[str, Any]
Frozen = Mapping[tuple[UUID, str], Mapping[str, str]]
"""What texts are kept as, by their ids and the hashes of the sources that it was made of."""

_OVER: Mapping[str, type[Problem]] = {
    VersionStatus.PUBLISHED: AgreementVersionPublished,
    VersionStatus.CANCELLED: AgreementVersionCancelled,
}
_bodies = (
    select(AgreementText.id, AgreementText.sha256, AgreementText.body, AgreementText.locale)
    .join(AgreementVersion, AgreementVersion.id == AgreementText.version_id)
    .where(AgreementVersion.id == bindparam("version"), AgreementVersion.status == VersionStatus.DRAFT)
)
_publish = update(AgreementVersion).where(AgreementVersion.id == bindparam("version"), AgreementVersion.status == VersionStatus.DRAFT)
_cancel = update(AgreementVersion).where(
    AgreementVersion.id == bindparam("version"),
    AgreementVersion.status == VersionStatus.PUBLISHED,
    AgreementVersion.effective_at > bindparam("now"),
    ~exists().where(AgreementEvent.version_id == AgreementVersion.id),
)


async def create_draft(world: World, actor: Actor, document_id: UUID, values: Values) -> AgreementDetails:
    """A new version without texts; it counts for nothing until it is published. Raises AgreementNotFound."""
    async with world.db.write() as tx:
        await lock_document(tx, document_id)
        now = world.clock.now()
        row = {**values, "id": world.entropy.identifier(), "document_id": document_id, "status": VersionStatus.DRAFT, "created_at": now}
        await tx.execute(insert(AgreementVersion).values(row))
        await record(tx, world, "agreement.drafted", actor, ("agreement", document_id), version=str(row["id"]))
        return await load_version(tx, row["id"], now)


async def get_version(world: World, version_id: UUID) -> AgreementDetails:
    async with world.db.read() as tx:
        return await load_version(tx, version_id, world.clock.now())


async def change(world: World, actor: Actor, version_id: UUID, changes: Values) -> AgreementDetails:
    """Change the label or the class of a draft. Raises AgreementVersionNotFound, AgreementVersionPublished, AgreementVersionCancelled."""
    async with world.db.write() as tx:
        owner = await _held_draft(tx, version_id)
        changes = {name: value for name, value in changes.items() if owner._mapping[name] != value}
        if changes:
            await tx.execute(update(AgreementVersion).where(AgreementVersion.id == version_id).values(changes))
            about = ("agreement", owner.document_id)
            await record(tx, world, "agreement.draft_changed", actor, about, version=str(version_id), fields=sorted(changes))
        return await load_version(tx, version_id, world.clock.now())


async def discard(world: World, actor: Actor, version_id: UUID) -> None:
    """Delete a draft with its texts. Raises AgreementVersionNotFound, AgreementVersionPublished, AgreementVersionCancelled."""
    async with world.db.write() as tx:
        owner = await _held_draft(tx, version_id)
        await tx.execute(delete(AgreementText).where(AgreementText.version_id == version_id))
        await tx.execute(delete(AgreementVersion).where(AgreementVersion.id == version_id))
        await record(tx, world, "agreement.draft_deleted", actor, ("agreement", owner.document_id), version=str(version_id))


async def publish(
    world: World, actor: Actor, version_id: UUID, effective_at: datetime | None, grace_until: datetime | None
) -> AgreementDetails:
    """Freeze a version and give it its ordinal, under the document's bumped `rev` (agreements R2, R4, R6). `effective_at` None: now.

    Raises AgreementVersionNotFound, AgreementVersionPublished, AgreementVersionCancelled, and what `rules.hindrance` finds.
    """
    made = await _rendered(world, version_id)
    async with world.db.write() as tx:
        owner = await _held_draft(tx, version_id)
        now = world.clock.now()
        whole = await load_version(tx, version_id, now)
        wanted = _wanted(owner, whole, effective_at or now, grace_until)
        if (problem := rules.check_publication(wanted, now)) is not None:
            raise problem
        values = {
            "status": VersionStatus.PUBLISHED,
            "ordinal": max((row.ordinal or 0 for row in whole.versions), default=0) + 1,  # no ordinal comes twice, cancelled or not
            "effective_at": wanted.effective_at,
            "grace_until": grace_until,
            "published_at": now,
            "published_by": actor.id,
        }
        await _freeze(tx, whole, made)
        if (await tx.execute(_publish.values(values), {"version": version_id})).rowcount != 1:
            raise AgreementVersionPublished
        facts = {"version": str(version_id), "ordinal": values["ordinal"], "change_class": owner.change_class}
        await record(tx, world, "agreement.published", actor, ("agreement", owner.document_id), **facts)
        return await load_version(tx, version_id, now)


def _wanted(owner: AnyRow, whole: AgreementDetails, effective_at: datetime, grace_until: datetime | None) -> Publication:
    changes = {text.locale: text.changes for text in whole.texts}
    required = tuple(owner.required_locales)
    return Publication(owner.change_class, owner.default_locale, changes, whole.published(), effective_at, grace_until, required)


async def _rendered(world: World, version_id: UUID) -> Frozen:
    """What a draft's texts will be kept as: made before the write block and beside the loop, for a long text takes its time."""
    async with world.db.read() as tx:
        texts = (await tx.execute(_bodies, {"version": version_id})).all()
    return await to_thread.run_sync(lambda: {(text.id, text.sha256): rules.freeze_text(text.body, text.locale) for text in texts})


async def _freeze(tx: Transaction, whole: AgreementDetails, made: Frozen) -> None:
    """Keep each text's HTML and plain text; one that was written after they were made is made now."""
    for text in whole.texts:
        kept = made.get((text.id, text.sha256)) or rules.freeze_text(text.body, text.locale)
        await tx.execute(update(AgreementText).where(AgreementText.id == text.id).values(**kept))


async def cancel(world: World, actor: Actor, version_id: UUID) -> AgreementDetails:
    """Take a scheduled version back before anybody decided on it (agreements R5). Doing it again changes nothing.

    Accepting takes the same turn: it bumps the document's row too, and looks after that. Raises AgreementVersionNotFound,
    AgreementVersionNotScheduled, AgreementVersionDecided.
    """
    async with world.db.write() as tx:
        owner = await lock_version(tx, version_id)
        now = world.clock.now()
        done = _cancel.values(status=VersionStatus.CANCELLED, cancelled_at=now)
        cancelled = (await tx.execute(done, {"version": version_id, "now": now})).rowcount == 1
        whole = await load_version(tx, version_id, now)
        if not cancelled and owner.status != VersionStatus.CANCELLED:
            state = whole.state(whole.row)
            raise AgreementVersionDecided if state == "scheduled" else AgreementVersionNotScheduled(facts={"state": state})
        if cancelled:
            facts = {"version": str(version_id), "ordinal": owner.ordinal}
            await record(tx, world, "agreement.cancelled", actor, ("agreement", owner.document_id), **facts)
        return whole


async def _held_draft(tx: Transaction, version_id: UUID) -> AnyRow:
    """The version, held, if it is a draft still. Raises AgreementVersionNotFound, AgreementVersionPublished, AgreementVersionCancelled."""
    owner = await lock_version(tx, version_id)
    if owner.status in _OVER:
        raise _OVER[owner.status]
    return owner
