"""Creates, changes, deletes, publishes and cancels versions. Only a version without decisions can be cancelled."""

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
RenderedTexts = Mapping[tuple[UUID, str], Mapping[str, str]]
"""The rendered formats of texts, by the text's id and the hash of its source."""

_NOT_A_DRAFT: Mapping[str, type[Problem]] = {
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
    """Create a version without texts. It has no effect before it is published. Raises AgreementNotFound."""
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


async def change_draft(world: World, actor: Actor, version_id: UUID, changes: Values) -> AgreementDetails:
    """Change the label or the class of a draft. Raises AgreementVersionNotFound, AgreementVersionPublished, AgreementVersionCancelled."""
    async with world.db.write() as tx:
        owner = await _lock_draft(tx, version_id)
        changes = {name: value for name, value in changes.items() if owner._mapping[name] != value}
        if changes:
            await tx.execute(update(AgreementVersion).where(AgreementVersion.id == version_id).values(changes))
            about = ("agreement", owner.document_id)
            await record(tx, world, "agreement.draft_changed", actor, about, version=str(version_id), fields=sorted(changes))
        return await load_version(tx, version_id, world.clock.now())


async def delete_draft(world: World, actor: Actor, version_id: UUID) -> None:
    """Delete a draft with its texts. Raises AgreementVersionNotFound, AgreementVersionPublished, AgreementVersionCancelled."""
    async with world.db.write() as tx:
        owner = await _lock_draft(tx, version_id)
        await tx.execute(delete(AgreementText).where(AgreementText.version_id == version_id))
        await tx.execute(delete(AgreementVersion).where(AgreementVersion.id == version_id))
        await record(tx, world, "agreement.draft_deleted", actor, ("agreement", owner.document_id), version=str(version_id))


async def publish_version(
    world: World, actor: Actor, version_id: UUID, effective_at: datetime | None, grace_until: datetime | None
) -> AgreementDetails:
    """Freeze a version and set its ordinal, under the document's lock (agreements R2, R4, R6). `effective_at` None: now.

    Raises AgreementVersionNotFound, AgreementVersionPublished, AgreementVersionCancelled, and the problems of `rules.check_publication`.
    """
    rendered = await _render_texts(world, version_id)
    async with world.db.write() as tx:
        owner = await _lock_draft(tx, version_id)
        now = world.clock.now()
        details = await load_version(tx, version_id, now)
        publication = _build_publication(owner, details, effective_at or now, grace_until)
        if (problem := rules.check_publication(publication, now)) is not None:
            raise problem
        values = {
            "status": VersionStatus.PUBLISHED,
            "ordinal": max((row.ordinal or 0 for row in details.versions), default=0) + 1,  # cancelled versions keep their ordinals
            "effective_at": publication.effective_at,
            "grace_until": grace_until,
            "published_at": now,
            "published_by": actor.id,
        }
        await _freeze_texts(tx, details, rendered)
        if (await tx.execute(_publish.values(values), {"version": version_id})).rowcount != 1:
            raise AgreementVersionPublished
        facts = {"version": str(version_id), "ordinal": values["ordinal"], "change_class": owner.change_class}
        await record(tx, world, "agreement.published", actor, ("agreement", owner.document_id), **facts)
        return await load_version(tx, version_id, now)


def _build_publication(owner: AnyRow, details: AgreementDetails, effective_at: datetime, grace_until: datetime | None) -> Publication:
    changes = {text.locale: text.changes for text in details.texts}
    required = tuple(owner.required_locales)
    return Publication(owner.change_class, owner.default_locale, changes, details.list_published(), effective_at, grace_until, required)


async def _render_texts(world: World, version_id: UUID) -> RenderedTexts:
    """Render a draft's texts before the write transaction and in a thread, because a long text takes time."""
    async with world.db.read() as tx:
        texts = (await tx.execute(_bodies, {"version": version_id})).all()
    return await to_thread.run_sync(lambda: {(text.id, text.sha256): rules.freeze_text(text.body, text.locale) for text in texts})


async def _freeze_texts(tx: Transaction, details: AgreementDetails, rendered: RenderedTexts) -> None:
    """Store each text's HTML and plain text; render here only a text that changed after `_render_texts` read it."""
    for text in details.texts:
        columns = rendered.get((text.id, text.sha256)) or rules.freeze_text(text.body, text.locale)
        await tx.execute(update(AgreementText).where(AgreementText.id == text.id).values(**columns))


async def cancel_version(world: World, actor: Actor, version_id: UUID) -> AgreementDetails:
    """Cancel a scheduled version that no one has decided on (agreements R5). Repeating it changes nothing.

    A decision on such a version locks the document too, and then checks the status. Raises AgreementVersionNotFound,
    AgreementVersionNotScheduled, AgreementVersionDecided.
    """
    async with world.db.write() as tx:
        owner = await lock_version(tx, version_id)
        now = world.clock.now()
        statement = _cancel.values(status=VersionStatus.CANCELLED, cancelled_at=now)
        cancelled = (await tx.execute(statement, {"version": version_id, "now": now})).rowcount == 1
        details = await load_version(tx, version_id, now)
        if not cancelled and owner.status != VersionStatus.CANCELLED:
            state = details.state(details.row)
            raise AgreementVersionDecided if state == "scheduled" else AgreementVersionNotScheduled(facts={"state": state})
        if cancelled:
            facts = {"version": str(version_id), "ordinal": owner.ordinal}
            await record(tx, world, "agreement.cancelled", actor, ("agreement", owner.document_id), **facts)
        return details


async def _lock_draft(tx: Transaction, version_id: UUID) -> AnyRow:
    """Lock the version's document and return the draft.

    Raises AgreementVersionNotFound, AgreementVersionPublished, AgreementVersionCancelled.
    """
    owner = await lock_version(tx, version_id)
    if owner.status in _NOT_A_DRAFT:
        raise _NOT_A_DRAFT[owner.status]
    return owner
