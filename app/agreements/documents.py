"""What the operator does: declare agreements, draft versions, write their texts, publish. What is published is frozen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.agreements import rules
from app.agreements.duties import Version
from app.agreements.models import AgreementDocument, AgreementText, AgreementVersion, VersionStatus
from app.agreements.problems import (
    AgreementChangesMissing,
    AgreementExists,
    AgreementNotFound,
    AgreementTextFrozen,
    AgreementTextNotFound,
    AgreementVersionNotFound,
    AgreementVersionPublished,
)
from app.agreements.rules import Draft
from app.agreements.service import version_of
from app.catalog.models import Product
from app.catalog.problems import ProductNotFound
from app.db import dialect
from app.db.base import table
from app.db.database import Session
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.web.paging import Window, page
from app.world import World

Values = dict[str, Any]

_documents = select(*table(AgreementDocument).columns, Product.code.label("product")).join(
    Product, Product.id == AgreementDocument.product_id
)
_versions = select(*table(AgreementVersion).columns, AgreementVersion.id.label("version_id"))
_texts = select(*table(AgreementText).columns)
_text = _texts.where(AgreementText.version_id == bindparam("version"), AgreementText.locale == bindparam("locale"))
_public = (
    select(AgreementText.body, AgreementText.sha256, AgreementText.locale)
    .join(AgreementVersion, AgreementVersion.id == AgreementText.version_id)
    .where(AgreementText.id == bindparam("text"), AgreementVersion.status == VersionStatus.PUBLISHED)
)


@dataclass(frozen=True)
class Whole:
    """A row and what hangs on it: a document with all of its versions, or one version with its siblings and its texts."""

    row: AnyRow
    versions: Sequence[AnyRow]
    texts: Sequence[AnyRow]
    now: datetime

    def published(self) -> tuple[Version, ...]:
        return tuple(version_of(row) for row in self.versions if row.status == VersionStatus.PUBLISHED)


async def create(world: World, by: Actor, values: Values) -> Whole:
    """Declare what a product asks of its end users. `default_locale` None: the product's. Raises ProductNotFound, AgreementExists."""
    try:
        async with world.db.write() as session:
            product = (
                await session.execute(select(Product.id, Product.default_locale).where(Product.code == values["product"]))
            ).one_or_none()
            if product is None:
                raise ProductNotFound
            row = {**values, "id": world.entropy.identifier(), "product_id": product.id, "created_at": world.clock.now(), "rev": 0}
            del row["product"]
            row["default_locale"] = row["default_locale"] or product.default_locale
            await session.execute(insert(table(AgreementDocument)).values(row))
            await record(session, world, "agreement.created", by, ("agreement", row["id"]), product=values["product"])
            return await _document(session, row["id"], world.clock.now())
    except IntegrityError as error:
        if dialect.breaks(error, table(AgreementDocument), "product_id", "kind", "region"):
            raise AgreementExists from error
        raise


async def documents(world: World, window: Window, product_code: str | None) -> tuple[Sequence[AnyRow], str | None]:
    wanted = _documents if product_code is None else _documents.where(Product.code == product_code)
    async with world.db.lookup() as session:
        return await page(session, wanted, AgreementDocument.id, window)


async def document(world: World, document_id: UUID) -> Whole:
    async with world.db.read() as session:
        return await _document(session, document_id, world.clock.now())


async def draft(world: World, by: Actor, document_id: UUID, values: Values) -> Whole:
    """A new version without texts; it counts for nothing until it is published."""
    async with world.db.write() as session:
        if await session.scalar(select(AgreementDocument.id).where(AgreementDocument.id == document_id)) is None:
            raise AgreementNotFound
        now = world.clock.now()
        row = {**values, "id": world.entropy.identifier(), "document_id": document_id, "status": VersionStatus.DRAFT, "created_at": now}
        await session.execute(insert(AgreementVersion).values(row))
        await record(session, world, "agreement.drafted", by, ("agreement", document_id), version=str(row["id"]))
        return await _version(session, row["id"], now)


async def version(world: World, version_id: UUID) -> Whole:
    async with world.db.read() as session:
        return await _version(session, version_id, world.clock.now())


async def write_text(world: World, by: Actor, version_id: UUID, locale: str, values: Values) -> AnyRow:
    """Write one language of a version: freely while it is a draft; once published only a language that it lacks (R3).

    Writing the very same again changes nothing. Raises AgreementTextFrozen, AgreementChangesMissing, AgreementVersionNotFound.
    """
    body = rules.normalised(values["body"])
    statement = rules.statement_digest(values["statement"], values["accept_label"], values["decline_label"])
    wanted = {**values, "body": body, "sha256": rules.digest(body), "statement_sha256": statement}
    async with world.db.write() as session:
        owner = await _held(session, version_id)
        place = {"version": version_id, "locale": locale}
        found = (await session.execute(_text, place)).one_or_none()
        if found is not None and all(found._mapping[name] == value for name, value in wanted.items()):
            return found
        if owner.status == VersionStatus.PUBLISHED:
            _may_be_added(owner, found, wanted)
        if found is None:
            fresh = {**wanted, "id": world.entropy.identifier(), "version_id": version_id, "locale": locale}
            await session.execute(insert(table(AgreementText)).values(**fresh, created_at=world.clock.now()))
        else:
            await session.execute(update(AgreementText).where(AgreementText.id == found.id).values(wanted))
        facts = {"version": str(version_id), "locale": locale, "sha256": wanted["sha256"]}
        await record(session, world, "agreement.text_written", by, ("agreement", owner.document_id), **facts)
        return (await session.execute(_text, place)).one()


def _may_be_added(owner: AnyRow, found: AnyRow | None, wanted: Values) -> None:
    """Whether a published version takes this text: only in a new language, and as complete as R4 asked of the others."""
    if found is not None:
        raise AgreementTextFrozen
    if rules.changes_due(owner.change_class, owner.ordinal > 1) and wanted["changes"] is None:
        raise AgreementChangesMissing("Give `changes`.")


async def publish(world: World, by: Actor, version_id: UUID, effective_at: datetime | None, grace_until: datetime | None) -> Whole:
    """Freeze a version and give it its ordinal, under the document's bumped `rev` (R4, R6). `effective_at` None: now.

    Raises AgreementVersionNotFound, AgreementVersionPublished, and what `rules.hindrance` finds.
    """
    async with world.db.write() as session:
        owner = await _held(session, version_id)
        now = world.clock.now()
        if owner.status == VersionStatus.PUBLISHED:
            raise AgreementVersionPublished
        whole = await _version(session, version_id, now)
        changes = {text.locale: text.changes for text in whole.texts}
        published = whole.published()
        wanted = Draft(owner.change_class, owner.default_locale, changes, published, effective_at or now, grace_until)
        if (problem := rules.hindrance(wanted, now)) is not None:
            raise problem
        values = {
            "status": VersionStatus.PUBLISHED,
            "ordinal": max((it.ordinal for it in published), default=0) + 1,
            "effective_at": wanted.effective_at,
            "grace_until": grace_until,
            "published_at": now,
        }
        guarded = update(AgreementVersion).where(AgreementVersion.id == version_id, AgreementVersion.status == VersionStatus.DRAFT)
        if (await session.execute(guarded.values(values))).rowcount != 1:
            raise AgreementVersionPublished
        facts = {"version": str(version_id), "ordinal": values["ordinal"], "change_class": owner.change_class}
        await record(session, world, "agreement.published", by, ("agreement", owner.document_id), **facts)
        return await _version(session, version_id, now)


async def public_text(world: World, text_id: UUID) -> AnyRow:
    """The stored text of a published version, for everybody. Raises AgreementTextNotFound."""
    async with world.db.lookup() as session:
        row = (await session.execute(_public, {"text": text_id})).one_or_none()
    if row is None:
        raise AgreementTextNotFound
    return row


async def _held(session: Session, version_id: UUID) -> AnyRow:
    """The version, with its document's row bumped, so that writing texts and publishing take turns. Raises AgreementVersionNotFound."""
    owning = select(AgreementVersion.document_id).where(AgreementVersion.id == version_id).scalar_subquery()
    await session.execute(update(AgreementDocument).where(AgreementDocument.id == owning).values(rev=AgreementDocument.rev + 1))
    wanted = select(
        AgreementVersion.document_id,
        AgreementVersion.status,
        AgreementVersion.ordinal,
        AgreementVersion.change_class,
        AgreementDocument.default_locale,
    ).join(AgreementDocument, AgreementDocument.id == AgreementVersion.document_id)
    row = (await session.execute(wanted.where(AgreementVersion.id == version_id))).one_or_none()
    if row is None:
        raise AgreementVersionNotFound
    return row


async def _document(session: Session, document_id: UUID, now: datetime) -> Whole:
    row = (await session.execute(_documents.where(AgreementDocument.id == document_id))).one_or_none()
    if row is None:
        raise AgreementNotFound
    return Whole(row, await _of(session, document_id), (), now)


async def _version(session: Session, version_id: UUID, now: datetime) -> Whole:
    row = (await session.execute(_versions.where(AgreementVersion.id == version_id))).one_or_none()
    if row is None:
        raise AgreementVersionNotFound
    texts = (await session.execute(_texts.where(AgreementText.version_id == version_id).order_by(AgreementText.locale))).all()
    return Whole(row, await _of(session, row.document_id), texts, now)


async def _of(session: Session, document_id: UUID) -> Sequence[AnyRow]:
    """All versions of a document, the latest first."""
    wanted = _versions.where(AgreementVersion.document_id == document_id).order_by(AgreementVersion.id.desc())
    return (await session.execute(wanted)).all()
