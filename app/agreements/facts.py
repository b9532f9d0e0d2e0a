"""Where an end user stands with the agreements of a product: the step of the access decision, and the columns it reads."""

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
"""What `STANDING` is read by: the user's state by `MINE`, and the published versions beyond what was accepted."""

_duties = (
    select(*OBLIGATION_COLUMNS, User.region.label("user_region"))
    .select_from(AgreementDocument)
    .join(User, User.id == bindparam("user"))
    .outerjoin(AgreementState, STATE_JOIN)
    .outerjoin(AgreementVersion, OPEN_VERSIONS_JOIN)
    .where(AgreementDocument.product_id == bindparam("product"))
    .order_by(AgreementDocument.id, AgreementVersion.ordinal)
)


async def load_obligations(tx: Transaction, world: World, user_id: UUID, product_id: UUID) -> UserObligations:
    """Where the end user stands with each agreement of the product, without the versions met already. One statement."""
    rows = (await tx.execute(_duties, {"user": user_id, "product": product_id})).all()
    return read_obligations(world, rows)


def read_obligations(world: World, rows: Sequence[AnyRow]) -> UserObligations:
    """The same, from rows with the columns `STANDING` and the user's `user_region`, in the order of documents and ordinals. A row
    without a document tells of none."""
    duties = tuple(duty for _, duty in group_by_document(row for row in rows if row.document_id is not None))
    return UserObligations(duties, list_user_regions(world, rows[0].user_region if rows else None))


def list_user_regions(world: World, region: str | None) -> tuple[str, ...]:
    """The regions whose agreements are for an end user of this one: as stored, never where a call comes from."""
    return list_regions(region, parse_region_groups(world.settings.region_groups))


def group_by_document(rows: Iterable[AnyRow]) -> Iterator[tuple[AnyRow, Obligation]]:
    """Rows in the order of their documents, one for each version, as a row and a duty for each document."""
    for document_id, group in groupby(rows, key=lambda row: row.document_id):
        found = list(group)
        it = found[0]
        versions = tuple(read_version(row) for row in found if row.version_id is not None)
        withdrawn = it.withdrawn_at is not None
        yield it, Obligation(document_id, it.accepted, it.declined, versions, it.notified, withdrawn, it.kind, it.region, it.since)


def read_version(row: AnyRow) -> Version:
    label = row._mapping.get("label")
    return Version(row.version_id, row.ordinal, row.change_class, row.effective_at, row.grace_until, label)
