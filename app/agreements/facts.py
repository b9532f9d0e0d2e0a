"""Loads an end user's obligations, and the columns and join conditions that the access decision reads them with."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from uuid import UUID

from sqlalchemy import and_, bindparam, func, select
from sqlalchemy.orm import aliased

from app.agreements.models import AgreementDocument, AgreementState, AgreementVersion, VersionStatus
from app.agreements.obligations import Obligation, UserObligations, Version, list_regions
from app.config.regions import parse_region_groups
from app.db.database import Transaction
from app.db.types import AnyRow, UtcDateTime
from app.users.models import User
from app.world import World

_first = aliased(AgreementVersion)
SINCE = (
    select(func.min(_first.effective_at, type_=UtcDateTime()))
    .where(_first.document_id == AgreementDocument.id, _first.status == VersionStatus.PUBLISHED)
    .correlate(AgreementDocument)
    .scalar_subquery()
    .label("since")
)
ACCEPTED = func.coalesce(AgreementState.accepted_ordinal, 0).label("accepted")
OBLIGATION_COLUMNS = (
    AgreementDocument.id.label("document_id"),
    ACCEPTED,
    func.coalesce(AgreementState.declined_ordinal, 0).label("declined"),
    func.coalesce(AgreementState.notified_ordinal, 0).label("notified"),
    AgreementState.withdrawn_at,
    AgreementDocument.kind,
    AgreementDocument.region,
    SINCE,
    AgreementVersion.id.label("version_id"),
    AgreementVersion.ordinal,
    AgreementVersion.change_class,
    AgreementVersion.effective_at,
    AgreementVersion.grace_until,
)
STATE_JOIN = and_(AgreementState.document_id == AgreementDocument.id, AgreementState.user_id == bindparam("user"))
PUBLISHED_JOIN = and_(AgreementVersion.document_id == AgreementDocument.id, AgreementVersion.status == VersionStatus.PUBLISHED)
OPEN_VERSIONS_JOIN = and_(PUBLISHED_JOIN, AgreementVersion.ordinal > ACCEPTED)
"""Joins for `OBLIGATION_COLUMNS`: the user's state (`STATE_JOIN`), and the published versions newer than the accepted one."""

_obligations = (
    select(*OBLIGATION_COLUMNS, User.region.label("user_region"))
    .select_from(AgreementDocument)
    .join(User, User.id == bindparam("user"))
    .outerjoin(AgreementState, STATE_JOIN)
    .outerjoin(AgreementVersion, OPEN_VERSIONS_JOIN)
    .where(AgreementDocument.product_id == bindparam("product"))
    .order_by(AgreementDocument.id, AgreementVersion.ordinal)
)


async def load_obligations(tx: Transaction, world: World, user_id: UUID, product_id: UUID) -> UserObligations:
    """Load the end user's obligations for all agreements of the product, without versions already accepted. One statement."""
    rows = (await tx.execute(_obligations, {"user": user_id, "product": product_id})).all()
    return read_obligations(world, rows)


def read_obligations(world: World, rows: Sequence[AnyRow]) -> UserObligations:
    """Build a user's obligations from rows with `OBLIGATION_COLUMNS` and `user_region`, ordered by document and ordinal.

    Rows without a document (the outer join of a product without agreements) are skipped.
    """
    obligations = tuple(obligation for _, obligation in group_by_document(row for row in rows if row.document_id is not None))
    return UserObligations(obligations, list_user_regions(world, rows[0].user_region if rows else None))


def list_user_regions(world: World, region: str | None) -> tuple[str, ...]:
    """List the regions whose agreements apply to an end user with this stored region. The address of a request is not used."""
    return list_regions(region, parse_region_groups(world.settings.region_groups))


def group_by_document(rows: Iterable[AnyRow]) -> Iterator[tuple[AnyRow, Obligation]]:
    """Yield the first row and the obligation of each document. The rows must be ordered by document, one for each version."""
    for document_id, group in groupby(rows, key=lambda row: row.document_id):
        version_rows = list(group)
        row = version_rows[0]
        versions = tuple(read_version(each) for each in version_rows if each.version_id is not None)
        withdrawn = row.withdrawn_at is not None
        yield (
            row,
            Obligation(document_id, row.accepted, row.declined, versions, row.notified, withdrawn, row.kind, row.region, row.since),
        )


def read_version(row: AnyRow) -> Version:
    label = row._mapping.get("label")
    return Version(row.version_id, row.ordinal, row.change_class, row.effective_at, row.grace_until, label)
