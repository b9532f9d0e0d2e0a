"""Receipts as their end user reads them: the signed record, and an index of it."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from app.agreements.models import AgreementDocument, AgreementEvent, AgreementText
from app.agreements.problems import ReceiptNotFound
from app.catalog.models import Product
from app.db.types import AnyRow
from app.web.callers import Subject
from app.web.paging import Window, page
from app.world import World

_receipts = (
    select(
        AgreementEvent.id,
        AgreementEvent.type,
        AgreementEvent.at,
        Product.code.label("product"),
        AgreementEvent.document_id.label("document"),
        AgreementEvent.version_id.label("version"),
        AgreementEvent.ordinal,
        AgreementEvent.text_id.label("text"),
        AgreementText.locale,
        AgreementEvent.seq,
        AgreementEvent.receipt.label("jws"),
    )
    .join(AgreementText, AgreementText.id == AgreementEvent.text_id)
    .join(AgreementDocument, AgreementDocument.id == AgreementEvent.document_id)
    .join(Product, Product.id == AgreementDocument.product_id)
)


async def receipts(world: World, by: Subject, window: Window) -> tuple[Sequence[AnyRow], str | None]:
    async with world.db.lookup() as session:
        return await page(session, _receipts.where(AgreementEvent.user_id == by.id), AgreementEvent.id, window)


async def receipt(world: World, by: Subject, event_id: UUID) -> AnyRow:
    """One of the end user's own receipts. Raises ReceiptNotFound."""
    async with world.db.lookup() as session:
        wanted = _receipts.where(AgreementEvent.id == event_id, AgreementEvent.user_id == by.id)
        row = (await session.execute(wanted)).one_or_none()
    if row is None:
        raise ReceiptNotFound
    return row
