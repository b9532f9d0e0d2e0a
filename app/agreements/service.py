"""Where an end user stands with the agreements of a product: the step of the access decision, and the columns it reads."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from uuid import UUID

from sqlalchemy import and_, bindparam, func, select

from app.agreements.models import AgreementDocument, AgreementState, AgreementVersion, VersionStatus
from app.agreements.rules import Duty, Version
from app.db.database import Session
from app.db.types import AnyRow

ACCEPTED = func.coalesce(AgreementState.accepted_ordinal, 0).label("accepted")
STANDING = (
    AgreementDocument.id.label("document_id"),
    ACCEPTED,
    func.coalesce(AgreementState.declined_ordinal, 0).label("declined"),
    AgreementVersion.id.label("version_id"),
    AgreementVersion.ordinal,
    AgreementVersion.change_class,
    AgreementVersion.effective_at,
    AgreementVersion.grace_until,
)
MINE = and_(AgreementState.document_id == AgreementDocument.id, AgreementState.user_id == bindparam("user"))
PUBLISHED = and_(AgreementVersion.document_id == AgreementDocument.id, AgreementVersion.status == VersionStatus.PUBLISHED)

_duties = (
    select(*STANDING)
    .select_from(AgreementDocument)
    .outerjoin(AgreementState, MINE)
    .outerjoin(AgreementVersion, and_(PUBLISHED, AgreementVersion.ordinal > ACCEPTED))
    .where(AgreementDocument.product_id == bindparam("product"))
    .order_by(AgreementDocument.id, AgreementVersion.ordinal)
)


async def duties(session: Session, user_id: UUID, product_id: UUID) -> tuple[Duty, ...]:
    """Where the end user stands with each agreement of the product, without the versions met already. One statement."""
    rows = (await session.execute(_duties, {"user": user_id, "product": product_id})).all()
    return tuple(duty for _, duty in grouped(rows))


def grouped(rows: Iterable[AnyRow]) -> Iterator[tuple[AnyRow, Duty]]:
    """Rows in the order of their documents, one for each version, as a row and a duty for each document."""
    for document_id, group in groupby(rows, key=lambda row: row.document_id):
        found = list(group)
        versions = tuple(version_of(row) for row in found if row.version_id is not None)
        yield found[0], Duty(document_id, found[0].accepted, found[0].declined, versions)


def version_of(row: AnyRow) -> Version:
    label = row._mapping.get("label")
    return Version(row.version_id, row.ordinal, row.change_class, row.effective_at, row.grace_until, label)
