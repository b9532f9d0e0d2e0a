"""Counts and lists end users by their status for an agreement at a moment, replayed by the database from the events up to then.

The stored projection is not used. Imported acceptances count from their import, not from the claimed date (agreements R23). A user who has
only presentations is counted by them; presentations that were erased or pruned (agreements R26) are missing from past counts too.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, and_, bindparam, case, func, literal, or_, select, union

from app.agreements.facts import read_version
from app.agreements.grades import GRADE
from app.agreements.models import (
    AgreementDocument,
    AgreementEvent,
    AgreementKind,
    AgreementPresentation,
    AgreementText,
    AgreementVersion,
    EventType,
    VersionStatus,
)
from app.agreements.obligations import Obligation, ObligationStatus, Version
from app.agreements.problems import AgreementNotFound
from app.catalog.models import Product
from app.db.database import Transaction
from app.db.types import AnyRow, AnySelect, UtcDateTime
from app.users.models import User
from app.web.paging import PageWindow, read_page
from app.world import World

ASSENTS = (EventType.ACCEPTED, EventType.IMPORTED)
_UP_TO = and_(AgreementEvent.document_id == bindparam("document"), AgreementEvent.at <= bindparam("as_of", type_=UtcDateTime()))
_document = (
    select(AgreementDocument.id, AgreementDocument.kind, AgreementDocument.region, Product.code.label("product"))
    .join(Product, Product.id == AgreementDocument.product_id)
    .where(AgreementDocument.id == bindparam("document"))
)
_versions = (
    select(
        AgreementVersion.id.label("version_id"),
        AgreementVersion.ordinal,
        AgreementVersion.change_class,
        AgreementVersion.effective_at,
        AgreementVersion.grace_until,
    )
    .where(AgreementVersion.document_id == bindparam("document"), AgreementVersion.status == VersionStatus.PUBLISHED)
    .order_by(AgreementVersion.ordinal)
)


@dataclass(frozen=True)
class StatusThresholds:
    """The ordinals that separate the statuses at a moment.

    A user who accepted `required` or more owes nothing (0: nothing is required); one who accepted `grace_from` or more is within grace; for
    a notice, one who was shown `news` or more has seen it.
    """

    kind: str
    required: int
    grace_from: int
    news: int

    @classmethod
    def of(cls, document_id: UUID, kind: str, versions: Sequence[Version], at: datetime) -> "StatusThresholds":
        """Compute the thresholds with the rules of the access decision. A user with a higher accepted ordinal never owes more."""
        unaccepted = Obligation(document_id, 0, 0, tuple(versions), kind=kind)
        required = unaccepted.required_ordinal(at)
        in_grace = (
            ordinal
            for ordinal in range(1, required)
            if Obligation(document_id, ordinal, 0, tuple(versions), kind=kind).grace_end(at) is not None
        )
        news = unaccepted.pending_notice(at)
        return cls(kind, required, next(in_grace, max(required, 1)), news.ordinal if news is not None else 0)

    def status(self, user: "UserOrdinals") -> ColumnElement[str]:
        """Build `Obligation.status` as a SQL expression, so that the database counts and filters millions of users."""
        if self.kind == AgreementKind.NOTICE:
            has_seen = (user.accepted >= self.news) | (user.notified >= self.news)
            return case(
                (~has_seen, _status_literal("to_be_shown")),
                (user.notified > 0, _status_literal("notified")),
                else_=_status_literal("not_required"),
            )
        return case(
            (user.accepted >= max(self.required, 1), _status_literal("accepted")),
            (literal(self.required) == 0, _status_literal("not_required")),
            (user.accepted >= self.grace_from, _status_literal("in_grace")),
            (user.withdrawn & (user.accepted == 0), _status_literal("withdrawn")),
            (user.declined >= self.required, _status_literal("declined")),
            else_=_status_literal("required"),
        )


def _status_literal(status: ObligationStatus) -> ColumnElement[str]:
    return literal(status)


@dataclass(frozen=True)
class UserOrdinals:
    """The highest ordinals of each end user as columns of `_select_all_users`, also for users without an event."""

    accepted: ColumnElement[int]
    declined: ColumnElement[int]
    notified: ColumnElement[int]
    withdrawn: ColumnElement[bool]


@dataclass(frozen=True)
class Coverage:
    """Numbers of end users: by status, by accepted ordinal, by ordinal of the news shown, and by the best grade of evidence."""

    document: AnyRow
    as_of: datetime
    required: int
    users: int
    statuses: Mapping[str, int]
    accepted: Mapping[int, int]
    notified: Mapping[int, int]
    grades: Mapping[str, int]


def _select_withdrawals() -> CTE:
    """Select the last withdrawal of each end user. Earlier acceptances do not count (agreements R22)."""
    last = func.max(AgreementEvent.seq).label("seq")
    statement = select(AgreementEvent.user_id, last).where(_UP_TO, AgreementEvent.type == EventType.WITHDRAWN)
    return statement.group_by(AgreementEvent.user_id).cte("withdrawals")


def _select_ordinals(withdrawals: CTE) -> CTE:
    """Select the highest ordinals of each end user with an event, as `apply_event` would compute them from all events."""
    is_after = or_(withdrawals.c.seq.is_(None), AgreementEvent.seq > withdrawals.c.seq)

    def highest(name: str, *conditions: ColumnElement[bool]) -> ColumnElement[int]:
        return func.max(case((and_(*conditions), AgreementEvent.ordinal), else_=0)).label(name)

    return (
        select(
            AgreementEvent.user_id,
            highest("accepted", AgreementEvent.type.in_(ASSENTS), is_after),
            highest("declined", AgreementEvent.type == EventType.DECLINED),
            highest("notified", AgreementEvent.type == EventType.NOTICE_SHOWN),
            func.max(withdrawals.c.seq).label("withdrawn_seq"),
            func.max(AgreementEvent.at, type_=UtcDateTime()).label("last_at"),
        )
        .outerjoin(withdrawals, withdrawals.c.user_id == AgreementEvent.user_id)
        .where(_UP_TO)
        .group_by(AgreementEvent.user_id)
        .cte("ordinals")
    )


def _select_evidence(ordinals: CTE) -> CTE:
    """Select the best grade among the events that accepted each end user's current ordinal."""
    is_current = and_(AgreementEvent.type.in_(ASSENTS), AgreementEvent.ordinal == ordinals.c.accepted)
    since = AgreementEvent.seq > func.coalesce(ordinals.c.withdrawn_seq, 0)
    statement = select(AgreementEvent.user_id, func.min(GRADE).label("grade")).join(ordinals, ordinals.c.user_id == AgreementEvent.user_id)
    return statement.where(_UP_TO, is_current, since).group_by(AgreementEvent.user_id).cte("evidence")


def _select_all_users(thresholds: StatusThresholds) -> CTE:
    """Select one row for each end user with a presentation or an event of the document."""
    ordinals = _select_ordinals(_select_withdrawals())
    evidence = _select_evidence(ordinals)
    presented = (
        select(AgreementPresentation.user_id)
        .join(AgreementText, AgreementText.id == AgreementPresentation.text_id)
        .join(AgreementVersion, AgreementVersion.id == AgreementText.version_id)
        .where(AgreementVersion.document_id == bindparam("document"), AgreementPresentation.presented_at <= bindparam("as_of"))
    )
    all_ids = union(select(ordinals.c.user_id), presented).cte("user_ids")
    accepted, declined, notified = (func.coalesce(ordinals.c[name], 0) for name in ("accepted", "declined", "notified"))
    return (
        select(
            all_ids.c.user_id,
            accepted.label("accepted"),
            declined.label("declined"),
            notified.label("notified"),
            thresholds.status(UserOrdinals(accepted, declined, notified, ordinals.c.withdrawn_seq.is_not(None))).label("status"),
            evidence.c.grade,
            ordinals.c.last_at,
        )
        .outerjoin(ordinals, ordinals.c.user_id == all_ids.c.user_id)
        .outerjoin(evidence, evidence.c.user_id == all_ids.c.user_id)
        .cte("all_users")
    )


async def count_users(world: World, document_id: UUID, as_of: datetime | None) -> Coverage:
    """Count end users by status at `as_of` (None: now). The database counts; no user is loaded.

    Only users with a presentation (kept for the retention time) or an event of the document are counted. Raises AgreementNotFound.
    """
    at = as_of or world.clock.now()
    async with world.db.read() as tx:
        document, thresholds = await _load_thresholds(tx, document_id, at)
        users = _select_all_users(thresholds).c
        columns = (users.status, users.accepted, users.notified, users.grade)
        statement = select(*columns, func.count().label("users")).group_by(*columns)
        rows = (await tx.execute(statement, {"document": document_id, "as_of": at})).all()
    return Coverage(
        document,
        at,
        thresholds.required,
        sum(row.users for row in rows),
        _sum_users(rows, "status"),
        _sum_users(rows, "accepted"),
        _sum_users(rows, "notified"),
        _sum_users(rows, "grade"),
    )


def _sum_users(rows: Sequence[AnyRow], name: str) -> Mapping[Any, int]:
    """Sum the users by the values of a column, without empty values."""
    sums: Counter[Any] = Counter()
    for row in rows:
        if value := getattr(row, name):
            sums[value] += row.users
    return sums


async def list_users(
    world: World, document_id: UUID, window: PageWindow, status: str | None, as_of: datetime | None
) -> tuple[Sequence[AnyRow], str | None]:
    """List the end users that `count_users` counts, the newest accounts first. Raises AgreementNotFound."""
    at = as_of or world.clock.now()
    async with world.db.read() as tx:
        _, thresholds = await _load_thresholds(tx, document_id, at)
        users = _select_all_users(thresholds).c
        statement: AnySelect = select(
            User.id, users.status, users.accepted, users.declined, users.notified, users.grade, users.last_at
        ).join_from(User, users.user_id.table, users.user_id == User.id)
        statement = statement.where(users.status == status) if status is not None else statement
        return await read_page(tx, statement.params(document=document_id, as_of=at), User.id, window)


async def _load_thresholds(tx: Transaction, document_id: UUID, at: datetime) -> tuple[AnyRow, StatusThresholds]:
    document = (await tx.execute(_document, {"document": document_id})).one_or_none()
    if document is None:
        raise AgreementNotFound
    versions = [read_version(row) for row in (await tx.execute(_versions, {"document": document_id})).all()]
    return document, StatusThresholds.of(document_id, document.kind, versions, at)
