"""Who stood where with an agreement at an instant: replayed by the database from the events up to then, whatever the projection says.

Imported acceptances count from when they were brought here, not from when they are said to have been given (agreements R23). Who was only ever
shown a text counts by that showing: erased with its end user, or gone after its time (agreements R26), it is missing from the past counts too."""

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
    AgreementPresentation,
    AgreementText,
    AgreementVersion,
    EventType,
    Kind,
    VersionStatus,
)
from app.agreements.obligations import Obligation, Status, Version
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
    """Where the lines between the statuses ran at an instant: who accepted `required` or more owes nothing (0: nothing was asked
    for), who accepted `grace_from` or more was still within grace; of a notice, who was shown `news` or more has seen it."""

    kind: str
    required: int
    grace_from: int
    news: int

    @classmethod
    def of(cls, document_id: UUID, kind: str, versions: Sequence[Version], at: datetime) -> "StatusThresholds":
        """Asked of the very rules that the gate goes by: what is owed only shrinks as the accepted ordinal rises."""
        fresh = Obligation(document_id, 0, 0, tuple(versions), kind=kind)
        required = fresh.required_ordinal(at)
        lenient = (it for it in range(1, required) if Obligation(document_id, it, 0, tuple(versions), kind=kind).grace_end(at) is not None)
        news = fresh.pending_notice(at)
        return cls(kind, required, next(lenient, max(required, 1)), news.ordinal if news is not None else 0)

    def status(self, heard: "UserOrdinals") -> ColumnElement[str]:
        """`Duty.status` as SQL."""
        if self.kind == Kind.NOTICE:
            seen = (heard.accepted >= self.news) | (heard.notified >= self.news)
            return case((~seen, _word("to_be_shown")), (heard.notified > 0, _word("notified")), else_=_word("not_required"))
        return case(
            (heard.accepted >= max(self.required, 1), _word("accepted")),
            (literal(self.required) == 0, _word("not_required")),
            (heard.accepted >= self.grace_from, _word("in_grace")),
            (heard.withdrawn & (heard.accepted == 0), _word("withdrawn")),
            (heard.declined >= self.required, _word("declined")),
            else_=_word("required"),
        )


def _word(status: Status) -> ColumnElement[str]:
    return literal(status)


@dataclass(frozen=True)
class UserOrdinals:
    """What the ledger said of each end user: columns of `_everybody`, for those without any event too."""

    accepted: ColumnElement[int]
    declined: ColumnElement[int]
    notified: ColumnElement[int]
    withdrawn: ColumnElement[bool]


@dataclass(frozen=True)
class Coverage:
    """`statuses`, `accepted`, `notified`, `grades`: end users by status, by the ordinal they accepted, by the ordinal of the news
    they were shown, and by the best evidence there is of the acceptance that counts."""

    document: AnyRow
    as_of: datetime
    required: int
    users: int
    statuses: Mapping[str, int]
    accepted: Mapping[int, int]
    notified: Mapping[int, int]
    grades: Mapping[str, int]


def _left() -> CTE:
    """The last withdrawal of each end user: what was accepted before it counts no more (agreements R22)."""
    last = func.max(AgreementEvent.seq).label("seq")
    mine = select(AgreementEvent.user_id, last).where(_UP_TO, AgreementEvent.type == EventType.WITHDRAWN)
    return mine.group_by(AgreementEvent.user_id).cte("went")


def _heard(went: CTE) -> CTE:
    """The highest ordinals of each end user with an event, as `duties.moved` would arrive at them one by one."""
    stands = or_(went.c.seq.is_(None), AgreementEvent.seq > went.c.seq)

    def highest(name: str, *which: ColumnElement[bool]) -> ColumnElement[int]:
        return func.max(case((and_(*which), AgreementEvent.ordinal), else_=0)).label(name)

    return (
        select(
            AgreementEvent.user_id,
            highest("accepted", AgreementEvent.type.in_(ASSENTS), stands),
            highest("declined", AgreementEvent.type == EventType.DECLINED),
            highest("notified", AgreementEvent.type == EventType.NOTICE_SHOWN),
            func.max(went.c.seq).label("withdrawn_seq"),
            func.max(AgreementEvent.at, type_=UtcDateTime()).label("last_at"),
        )
        .outerjoin(went, went.c.user_id == AgreementEvent.user_id)
        .where(_UP_TO)
        .group_by(AgreementEvent.user_id)
        .cte("heard")
    )


def _evidence(heard: CTE) -> CTE:
    """The best grade among the events that say what each end user accepted."""
    counted = and_(AgreementEvent.type.in_(ASSENTS), AgreementEvent.ordinal == heard.c.accepted)
    since = AgreementEvent.seq > func.coalesce(heard.c.withdrawn_seq, 0)
    mine = select(AgreementEvent.user_id, func.min(GRADE).label("grade")).join(heard, heard.c.user_id == AgreementEvent.user_id)
    return mine.where(_UP_TO, counted, since).group_by(AgreementEvent.user_id).cte("evidence")


def _everybody(marks: StatusThresholds) -> CTE:
    """One row for each end user who had been shown a text of the document, or had an event about it."""
    heard = _heard(_left())
    evidence = _evidence(heard)
    shown = (
        select(AgreementPresentation.user_id)
        .join(AgreementText, AgreementText.id == AgreementPresentation.text_id)
        .join(AgreementVersion, AgreementVersion.id == AgreementText.version_id)
        .where(AgreementVersion.document_id == bindparam("document"), AgreementPresentation.presented_at <= bindparam("as_of"))
    )
    met = union(select(heard.c.user_id), shown).cte("met")
    accepted, declined, notified = (func.coalesce(heard.c[name], 0) for name in ("accepted", "declined", "notified"))
    return (
        select(
            met.c.user_id,
            accepted.label("accepted"),
            declined.label("declined"),
            notified.label("notified"),
            marks.status(UserOrdinals(accepted, declined, notified, heard.c.withdrawn_seq.is_not(None))).label("status"),
            evidence.c.grade,
            heard.c.last_at,
        )
        .outerjoin(heard, heard.c.user_id == met.c.user_id)
        .outerjoin(evidence, evidence.c.user_id == met.c.user_id)
        .cte("everybody")
    )


async def count_users(world: World, document_id: UUID, as_of: datetime | None) -> Coverage:
    """How many end users stood where at `as_of` (None: now). Counted by the database; nobody is loaded.

    They are those who had been shown a text of the document (presentations are kept as long as retention says) or had an event
    about it; others are not known to have met it. Raises AgreementNotFound.
    """
    at = as_of or world.clock.now()
    async with world.db.read() as tx:
        document, marks = await _marked(tx, document_id, at)
        each = _everybody(marks).c
        kinds = (each.status, each.accepted, each.notified, each.grade)
        wanted = select(*kinds, func.count().label("users")).group_by(*kinds)
        rows = (await tx.execute(wanted, {"document": document_id, "as_of": at})).all()
    return Coverage(
        document,
        at,
        marks.required,
        sum(row.users for row in rows),
        _sums(rows, "status"),
        _sums(rows, "accepted"),
        _sums(rows, "notified"),
        _sums(rows, "grade"),
    )


def _sums(rows: Sequence[AnyRow], name: str) -> Mapping[Any, int]:
    """End users by this column; those who have nothing there are left out."""
    told: Counter[Any] = Counter()
    for row in rows:
        if value := getattr(row, name):
            told[value] += row.users
    return told


async def list_users(
    world: World, document_id: UUID, window: PageWindow, status: str | None, as_of: datetime | None
) -> tuple[Sequence[AnyRow], str | None]:
    """The end users that `coverage` counts, those who joined last first. Raises AgreementNotFound."""
    at = as_of or world.clock.now()
    async with world.db.read() as tx:
        _, marks = await _marked(tx, document_id, at)
        each = _everybody(marks).c
        wanted: AnySelect = select(User.id, each.status, each.accepted, each.declined, each.notified, each.grade, each.last_at).join_from(
            User, each.user_id.table, each.user_id == User.id
        )
        wanted = wanted.where(each.status == status) if status is not None else wanted
        return await read_page(tx, wanted.params(document=document_id, as_of=at), User.id, window)


async def _marked(tx: Transaction, document_id: UUID, at: datetime) -> tuple[AnyRow, StatusThresholds]:
    document = (await tx.execute(_document, {"document": document_id})).one_or_none()
    if document is None:
        raise AgreementNotFound
    versions = [read_version(row) for row in (await tx.execute(_versions, {"document": document_id})).all()]
    return document, StatusThresholds.of(document_id, document.kind, versions, at)
