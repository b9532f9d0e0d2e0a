"""Lists the ledger's events for operators, newest first, with filters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select

from app.agreements.grades import GRADE
from app.agreements.ledger.receipts import decode_claims
from app.agreements.models import AgreementDocument, AgreementEvent, AgreementText, EventType
from app.catalog.models import Product
from app.db.types import AnyRow, AnySelect
from app.web.paging import PageWindow, read_page
from app.world import World

IMPORT_CLAIMS = ("accepted_at", "external_ref", "source")
"""The operator's unproven claims about an imported acceptance."""
_events = (
    select(
        AgreementEvent.id,
        AgreementEvent.type,
        AgreementEvent.at,
        Product.code.label("product"),
        AgreementEvent.document_id.label("agreement"),
        AgreementEvent.version_id.label("version"),
        AgreementEvent.ordinal,
        AgreementEvent.text_id.label("text"),
        AgreementText.locale,
        AgreementEvent.user_id.label("user"),
        AgreementEvent.seq,
        GRADE,
        AgreementEvent.actor_type,
        AgreementEvent.actor_id,
        AgreementEvent.amr,
        AgreementEvent.fallback,
        AgreementEvent.presentation_id.label("presentation"),
        AgreementEvent.receipt_sha256,
        AgreementEvent.prev_sha256,
        AgreementEvent.receipt.label("jws"),
    )
    .join(AgreementText, AgreementText.id == AgreementEvent.text_id)
    .join(AgreementDocument, AgreementDocument.id == AgreementEvent.document_id)
    .join(Product, Product.id == AgreementDocument.product_id)
)


@dataclass(frozen=True)
class EventFilters:
    """Filters of events; None: any. `since <= at < until`."""

    product: str | None = None
    agreement: UUID | None = None
    user: UUID | None = None
    type: EventType | None = None
    ordinal: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def select_events(self) -> AnySelect:
        return _events.where(*self._conditions())

    def _conditions(self) -> Iterator[ColumnElement[bool]]:
        equalities = (
            (Product.code, self.product),
            (AgreementEvent.document_id, self.agreement),
            (AgreementEvent.user_id, self.user),
            (AgreementEvent.type, self.type),
            (AgreementEvent.ordinal, self.ordinal),
        )
        for column, value in equalities:
            if value is not None:
                yield column == value
        if self.since is not None:
            yield AgreementEvent.at >= self.since
        if self.until is not None:
            yield AgreementEvent.at < self.until


async def list_events(world: World, filters: EventFilters, window: PageWindow) -> tuple[Sequence[AnyRow], str | None]:
    async with world.db.query() as tx:
        return await read_page(tx, filters.select_events(), AgreementEvent.id, window)


def read_import_claims(type_: str, receipt: str) -> Mapping[str, str]:
    """Return the operator's claims about an imported acceptance: `accepted_at`, `external_ref`, `source`. Empty for other events.

    An unreadable receipt gives an empty result: lists and exports must also work after tampering.
    """
    if type_ != EventType.IMPORTED:
        return {}
    try:
        claims = dict(decode_claims(receipt)["claims"])
    except (IndexError, KeyError, TypeError, ValueError):
        return {}
    return {name: str(claims[name]) for name in IMPORT_CLAIMS if name in claims}
