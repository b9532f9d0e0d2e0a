"""The end user's list of agreements of a product, with the version and the text that would be shown now."""

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
    """The languages that a request prefers: its `locale` parameter, and the raw value of its `Accept-Language` header."""

    locale: str | None
    header: str | None


@dataclass(frozen=True)
class TextSelection:
    """The version and the text to show to an end user now, and how the language was chosen."""

    version: Version
    text: AnyRow
    choice: LanguageChoice


@dataclass(frozen=True)
class UserAgreement:
    """One agreement as the end user sees it. `document`: a row with the name, and the accepted event if there is one."""

    document: AnyRow
    obligation: Obligation
    selection: TextSelection
    now: datetime


async def list_agreements(
    world: World, user_id: UUID, product_code: str, languages: LanguageRequest
) -> tuple[Compliance, list[UserAgreement]]:
    """List the published agreements of a product for this end user's region, with the user's state. Raises ProductNotFound."""
    now = world.clock.now()
    async with world.db.read() as tx:
        product_id = await tx.scalar(_product, {"code": product_code})
        if product_id is None:
            raise ProductNotFound
        user_obligations, applicable = await _load_applicable(tx, world, user_id, product_id, now)
        versions = [(row, each, obligations.choose_version(each, now)) for row, each in applicable]
        texts = await _load_texts(tx, [version.id for _, _, version in versions if version is not None])
    agreements = [
        UserAgreement(row, each, _select_text(version, texts[version.id], row, languages), now)
        for row, each, version in versions
        if version is not None
    ]
    return user_obligations.compliance(now), agreements


async def load_document(tx: Transaction, world: World, user_id: UUID, document_id: UUID, now: datetime) -> tuple[AnyRow, Obligation] | None:
    """Load a document's row and the end user's obligation with all published versions.

    None if no version is published, or the document is for other regions.
    """
    product_id = await tx.scalar(_owner, {"document": document_id})
    if product_id is None:
        return None
    _, applicable = await _load_applicable(tx, world, user_id, product_id, now)
    return next((pair for pair in applicable if pair[1].document_id == document_id), None)


async def select_text(tx: Transaction, document: AnyRow, version: Version, languages: LanguageRequest) -> TextSelection:
    """Select the text of a published version in the best available language."""
    texts = await _load_texts(tx, [version.id])
    return _select_text(version, texts[version.id], document, languages)


async def _load_applicable(
    tx: Transaction, world: World, user_id: UUID, product_id: UUID, now: datetime
) -> tuple[UserObligations, list[tuple[AnyRow, Obligation]]]:
    """Load all obligations for a product; and those that apply in the end user's region, with the rows of their documents."""
    pairs = list(group_by_document((await tx.execute(_documents, {"user": user_id, "product": product_id})).all()))
    regions = list_user_regions(world, pairs[0][0].user_region if pairs else None)
    user_obligations = UserObligations(tuple(each for _, each in pairs), regions)
    applicable = obligations.select_applicable(user_obligations.obligations, user_obligations.regions, now)
    return user_obligations, [(row, each) for row, each in pairs if each in applicable]


async def _load_texts(tx: Transaction, version_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[AnyRow]]:
    rows = await tx.execute(_languages.where(AgreementText.version_id.in_(version_ids)).order_by(AgreementText.id))
    texts: dict[UUID, list[AnyRow]] = {}
    for row in rows:
        texts.setdefault(row.version_id, []).append(row)
    return texts


def _select_text(version: Version, texts: Sequence[AnyRow], document: AnyRow, languages: LanguageRequest) -> TextSelection:
    by_locale = {text.locale: text for text in texts}
    preferences = order_preferences(languages.locale, document.user_locale, languages.header)
    choice = choose_language(list(by_locale), preferences, (document.product_locale, document.default_locale))
    return TextSelection(version, by_locale[choice.served], choice)
