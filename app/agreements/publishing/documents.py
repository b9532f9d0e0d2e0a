"""Creates, lists and changes agreement documents. A document belongs to a product and a region; it has versions, which have texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from app.agreements import obligations, rules
from app.agreements.facts import read_version
from app.agreements.models import AgreementDocument, AgreementText, AgreementVersion, VersionStatus
from app.agreements.obligations import Version
from app.agreements.problems import AgreementExists, AgreementNotFound, AgreementVersionNotFound
from app.catalog.models import Product
from app.catalog.problems import ProductNotFound
from app.config.regions import parse_region_groups
from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.web.paging import PageWindow, read_page
from app.world import World

Values = dict[str, Any]

_documents = select(*table(AgreementDocument).columns, Product.code.label("product")).join(
    Product, Product.id == AgreementDocument.product_id
)
_versions = select(*table(AgreementVersion).columns, AgreementVersion.id.label("version_id"))
_texts = select(*table(AgreementText).columns)
_product = select(Product.id, Product.default_locale)


@dataclass(frozen=True)
class AgreementDetails:
    """A document with all its versions, or one version (`row`) with all versions of its document and its texts."""

    row: AnyRow
    versions: Sequence[AnyRow]
    texts: Sequence[AnyRow]
    now: datetime

    def list_published(self) -> tuple[Version, ...]:
        """List the published versions, without cancelled ones."""
        return tuple(read_version(row) for row in self.versions if row.status == VersionStatus.PUBLISHED)

    def state(self, row: AnyRow) -> rules.VersionState:
        """Return the state of one of the versions at `now` (agreements R7)."""
        return "cancelled" if row.status == VersionStatus.CANCELLED else rules.find_state(row.id, self.list_published(), self.now)


async def create_document(world: World, actor: Actor, values: Values) -> AgreementDetails:
    """Create an agreement for a product. `default_locale` None: the product's.

    Raises AgreementRegionUnknown, AgreementMinorsImpossible, ProductNotFound, AgreementExists.
    """
    groups = parse_region_groups(world.settings.region_groups)
    if (problem := rules.check_declaration(values["kind"], values["region"], values["minors"], groups)) is not None:
        raise problem
    try:
        async with world.db.write() as tx:
            product = (await tx.execute(_product.where(Product.code == values["product"]))).one_or_none()
            if product is None:
                raise ProductNotFound
            row = {**values, "id": world.entropy.identifier(), "product_id": product.id, "created_at": world.clock.now(), "rev": 0}
            del row["product"]
            row["default_locale"] = row["default_locale"] or product.default_locale
            await tx.execute(insert(table(AgreementDocument)).values(row))
            facts = {name: values[name] for name in ("product", "kind", "region")}
            await record(tx, world, "agreement.created", actor, ("agreement", row["id"]), **facts)
            return await load_document(tx, row["id"], world.clock.now())
    except IntegrityError as error:
        if dialect.violates_unique(error, table(AgreementDocument), "product_id", "kind", "region"):
            raise AgreementExists from error
        raise


async def list_documents(world: World, window: PageWindow, product_code: str | None) -> tuple[Sequence[AnyRow], str | None]:
    statement = _documents if product_code is None else _documents.where(Product.code == product_code)
    async with world.db.query() as tx:
        return await read_page(tx, statement, AgreementDocument.id, window)


async def get_document(world: World, document_id: UUID) -> AgreementDetails:
    async with world.db.read() as tx:
        return await load_document(tx, document_id, world.clock.now())


async def change_document(world: World, actor: Actor, document_id: UUID, changes: Values) -> AgreementDetails:
    """Change the name, the required languages or the rule for minors; the default language only before anything is published.

    Raises AgreementNotFound, AgreementMinorsImpossible, AgreementDefaultLocaleFixed, AgreementRequiredTextMissing.
    """
    async with world.db.write() as tx:
        await lock_document(tx, document_id)
        details = await load_document(tx, document_id, world.clock.now())
        old = details.row._mapping
        changes = {name: value for name, value in changes.items() if old[name] != value}
        await _check_change(tx, details, {**old, **changes})
        if changes:
            await tx.execute(update(AgreementDocument).where(AgreementDocument.id == document_id).values(changes))
            await record(tx, world, "agreement.changed", actor, ("agreement", document_id), fields=sorted(changes))
        return await load_document(tx, document_id, details.now)


async def _check_change(tx: Transaction, details: AgreementDetails, new: Values) -> None:
    """Raise the problem if this change is not allowed. Required languages must exist in the current and the scheduled version."""
    published = details.list_published()
    problems = [
        rules.check_declaration(new["kind"], obligations.WORLD_REGION, new["minors"], ()),
        rules.check_default_locale(details.row.default_locale, new["default_locale"], published),
    ]
    for version in (obligations.find_current(published, details.now), obligations.find_scheduled(published, details.now)):
        if version is not None and new["required_locales"] != details.row.required_locales:
            locales = (await tx.scalars(select(AgreementText.locale).where(AgreementText.version_id == version.id))).all()
            problems.append(rules.check_required_texts(new["required_locales"], locales))
    for problem in problems:
        if problem is not None:
            raise problem


async def lock_document(tx: Transaction, document_id: UUID) -> None:
    """Lock the document's row by an update, so this transaction alone changes its versions. Raises AgreementNotFound."""
    increment = update(AgreementDocument).where(AgreementDocument.id == document_id).values(rev=AgreementDocument.rev + 1)
    if (await tx.execute(increment)).rowcount != 1:
        raise AgreementNotFound


async def lock_version(tx: Transaction, version_id: UUID) -> AnyRow:
    """Lock the version's document as `lock_document` does; return the version with columns of its document.

    Raises AgreementVersionNotFound.
    """
    document_id = select(AgreementVersion.document_id).where(AgreementVersion.id == version_id).scalar_subquery()
    await tx.execute(update(AgreementDocument).where(AgreementDocument.id == document_id).values(rev=AgreementDocument.rev + 1))
    statement = select(
        *table(AgreementVersion).columns, AgreementDocument.default_locale, AgreementDocument.required_locales, AgreementDocument.kind
    ).join(AgreementDocument, AgreementDocument.id == AgreementVersion.document_id)
    row = (await tx.execute(statement.where(AgreementVersion.id == version_id))).one_or_none()
    if row is None:
        raise AgreementVersionNotFound
    return row


async def load_document(tx: Transaction, document_id: UUID, now: datetime) -> AgreementDetails:
    row = (await tx.execute(_documents.where(AgreementDocument.id == document_id))).one_or_none()
    if row is None:
        raise AgreementNotFound
    return AgreementDetails(row, await _list_versions(tx, document_id), (), now)


async def load_version(tx: Transaction, version_id: UUID, now: datetime) -> AgreementDetails:
    row = (await tx.execute(_versions.where(AgreementVersion.id == version_id))).one_or_none()
    if row is None:
        raise AgreementVersionNotFound
    texts = (await tx.execute(_texts.where(AgreementText.version_id == version_id).order_by(AgreementText.locale))).all()
    return AgreementDetails(row, await _list_versions(tx, row.document_id), texts, now)


async def _list_versions(tx: Transaction, document_id: UUID) -> Sequence[AnyRow]:
    """List all versions of a document, latest first."""
    statement = _versions.where(AgreementVersion.document_id == document_id).order_by(AgreementVersion.id.desc())
    return (await tx.execute(statement)).all()
