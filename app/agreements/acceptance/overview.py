"""What an end user sees: the agreements of a product, and for each the version and the text that they would be shown now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select

from app.agreements import obligations
from app.agreements.facts import OBLIGATION_COLUMNS, PUBLISHED_JOIN, STATE_JOIN, group_by_document, list_user_regions
from app.agreements.models import AgreementDocument, AgreementEvent, AgreementState, AgreementText, AgreementVersion
from app.agreements.obligations import Compliance, Obligation, UserObligations, Version
from app.base.languages import LanguageChoice, choose_language, order_preferences
from app.catalog.models import Product
from app.catalog.problems import ProductNotFound
from app.db.database import Transaction
from app.db.types import AnyRow
from app.users.models import User
from app.world import World

_documents = (
    select(
        *OBLIGATION_COLUMNS,
        AgreementVersion.label,
        AgreementDocument.name,
        AgreementDocument.default_locale,
        Product.default_locale.label("product_locale"),
        User.locale.label("user_locale"),
        User.region.label("user_region"),
        AgreementState.accepted_event_id,
        AgreementEvent.at.label("accepted_at"),
    )
    .select_from(AgreementDocument)
    .join(Product, Product.id == AgreementDocument.product_id)
    .join(User, User.id == bindparam("user"))
    .join(AgreementVersion, PUBLISHED_JOIN)
    .outerjoin(AgreementState, STATE_JOIN)
    .outerjoin(AgreementEvent, AgreementEvent.id == AgreementState.accepted_event_id)
    .where(AgreementDocument.product_id == bindparam("product"))
    .order_by(AgreementDocument.id, AgreementVersion.ordinal)
)
_product = select(Product.id).where(Product.code == bindparam("code"))
_owner = select(AgreementDocument.product_id).where(AgreementDocument.id == bindparam("document"))
_languages = select(AgreementText.id, AgreementText.version_id, AgreementText.locale, AgreementText.sha256, AgreementText.summary)


@dataclass(frozen=True)
class LanguageRequest:
    """The languages that a call asks for: its `locale` parameter, and its `Accept-Language` header as it came."""

    locale: str | None
    header: str | None


@dataclass(frozen=True)
class TextSelection:
    """The version that an end user would be shown now, which of its texts, and why that one."""

    version: Version
    text: AnyRow
    choice: LanguageChoice


@dataclass(frozen=True)
class UserAgreement:
    """One agreement as its end user sees it. `document` is a row with its name and with what was accepted, if anything was."""

    document: AnyRow
    duty: Obligation
    shown: TextSelection
    now: datetime


async def list_agreements(world: World, user_id: UUID, product_code: str, wish: LanguageRequest) -> tuple[Compliance, list[UserAgreement]]:
    """The published agreements of a product that are for this end user's region, as the user stands with them. Raises ProductNotFound."""
    now = world.clock.now()
    async with world.db.read() as tx:
        product_id = await tx.scalar(_product, {"code": product_code})
        if product_id is None:
            raise ProductNotFound
        mine_of, chosen = await _applicable(tx, world, user_id, product_id, now)
        texts = await _texts(tx, [version.id for _, duty in chosen if (version := obligations.choose_version(duty, now)) is not None])
    items = [
        UserAgreement(row, duty, _chosen(version, texts[version.id], row, wish), now)
        for row, duty in chosen
        if (version := obligations.choose_version(duty, now)) is not None
    ]
    return mine_of.compliance(now), items


async def load_document(tx: Transaction, world: World, user_id: UUID, document_id: UUID, now: datetime) -> tuple[AnyRow, Obligation] | None:
    """One document with all its published versions, for one end user; None when it has none, or is for other regions (agreements R12)."""
    product_id = await tx.scalar(_owner, {"document": document_id})
    if product_id is None:
        return None
    _, chosen = await _applicable(tx, world, user_id, product_id, now)
    return next((found for found in chosen if found[1].document_id == document_id), None)


async def select_text(tx: Transaction, document: AnyRow, version: Version, wish: LanguageRequest) -> TextSelection:
    """The text of a published version in the best language there is."""
    texts = await _texts(tx, [version.id])
    return _chosen(version, texts[version.id], document, wish)


async def _applicable(
    tx: Transaction, world: World, user_id: UUID, product_id: UUID, now: datetime
) -> tuple[UserObligations, list[tuple[AnyRow, Obligation]]]:
    """All duties to a product's agreements; and of the documents, with their rows, those that are for this end user's region."""
    found = list(group_by_document((await tx.execute(_documents, {"user": user_id, "product": product_id})).all()))
    all_of_it = UserObligations(tuple(duty for _, duty in found), list_user_regions(world, found[0][0].user_region if found else None))
    chosen = obligations.select_applicable(all_of_it.obligations, all_of_it.regions, now)
    return all_of_it, [(row, duty) for row, duty in found if duty in chosen]


async def _texts(tx: Transaction, version_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[AnyRow]]:
    rows = await tx.execute(_languages.where(AgreementText.version_id.in_(version_ids)).order_by(AgreementText.id))
    texts: dict[UUID, list[AnyRow]] = {}
    for row in rows:
        texts.setdefault(row.version_id, []).append(row)
    return texts


def _chosen(version: Version, texts: Sequence[AnyRow], document: AnyRow, wish: LanguageRequest) -> TextSelection:
    by_locale = {text.locale: text for text in texts}
    wishes = order_preferences(wish.locale, document.user_locale, wish.header)
    choice = choose_language(list(by_locale), wishes, (document.product_locale, document.default_locale))
    return TextSelection(version, by_locale[choice.served], choice)
