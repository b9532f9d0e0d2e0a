"""Acceptances that were given elsewhere, brought here by an operator: the only ones that are not the end user's own act, marked as such
for ever (`imported`, grade C), each brought once by the operator's own reference (agreements R16)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import func, select, true

from app.agreements.acceptance.admission import check_age, check_languages
from app.agreements.ledger import chain
from app.agreements.ledger.chain import ChainHead, NewEvent
from app.agreements.models import (
    AgreementDocument,
    AgreementEvent,
    AgreementImport,
    AgreementState,
    AgreementTurn,
    AgreementVersion,
    EventType,
    Kind,
    VersionStatus,
)
from app.agreements.obligations import Obligation
from app.agreements.problems import (
    AgreementIsNotice,
    AgreementNotFound,
    AgreementTextNotFound,
    AgreementVersionNotFound,
    ImportBeforeEffect,
    ImportBeforeWithdrawal,
    ImportConflict,
    ImportInFuture,
)
from app.agreements.publishing.documents import lock_document
from app.agreements.reporting.events import read_import_claims
from app.agreements.rules import digest
from app.base.durations import instant_text
from app.base.problems import Problem
from app.db import dialect
from app.db.database import Transaction
from app.db.types import AnyRow, UtcDateTime
from app.events.service import Actor, record
from app.security.signing import Signer
from app.signing_keys.service import load_signer
from app.users.models import Status, User
from app.users.problems import UserErased, UserNotFound
from app.world import World

TURN = {"name": "imports", "turn": 1}
"""Of every import, whatever it is of: two that bring the same references could otherwise wait for each other."""
_known = select(
    AgreementImport.external_ref,
    AgreementEvent.id,
    AgreementEvent.type,
    AgreementEvent.user_id,
    AgreementEvent.text_id,
    AgreementEvent.receipt,
).join(AgreementEvent, AgreementEvent.id == AgreementImport.event_id)
_document = select(
    AgreementDocument.id,
    AgreementDocument.kind,
    AgreementDocument.default_locale,
    AgreementDocument.required_locales,
    AgreementDocument.minors,
)
_users = select(User.id, User.age_band, User.status)
_left = select(AgreementEvent.user_id, func.max(AgreementEvent.at, type_=UtcDateTime()).label("at")).group_by(AgreementEvent.user_id)
_states = select(
    AgreementState.user_id,
    AgreementState.accepted_ordinal,
    AgreementState.declined_ordinal,
    AgreementState.notified_ordinal,
    AgreementState.withdrawn_at,
)


@dataclass(frozen=True)
class ImportedAcceptance:
    """What the operator says: this end user accepted that version then, and where it can be looked up. `locale` None: the default."""

    user: UUID
    ordinal: int
    locale: str | None
    accepted_at: datetime
    external_ref: str
    source: str | None

    def claims(self) -> dict[str, Any]:
        told = {"accepted_at": instant_text(self.accepted_at), "external_ref": self.external_ref, "source": self.source}
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class ImportFault:
    """Why one of them was not taken, and which of its fields is to blame."""

    name: str
    problem: Problem


@dataclass(frozen=True)
class ImportResult:
    """What became of one of them. `event` is that of the first time, also when it was brought again."""

    external_ref: str
    result: Literal["created", "replayed", "refused"]
    event: UUID | None = None
    fault: ImportFault | None = None


Content = tuple[UUID, UUID | None, Mapping[str, Any]]
"""Whose acceptance of which text, and what was claimed of it: what the same reference must mean each time."""


@dataclass
class ImportBatch:
    """What all of them are judged by, and what moves while they are taken one after the other."""

    document: AnyRow
    now: datetime
    texts: Mapping[tuple[int, str], AnyRow]
    users: Mapping[UUID, AnyRow]
    refs: dict[str, tuple[UUID, Content]]
    heads: dict[UUID, ChainHead] = field(default_factory=dict)
    left: Mapping[UUID, datetime] = field(default_factory=dict)
    duties: dict[UUID, Obligation] = field(default_factory=dict)

    def text(self, it: ImportedAcceptance) -> AnyRow | None:
        return self.texts.get((it.ordinal, it.locale or self.document.default_locale))

    def content(self, it: ImportedAcceptance) -> Content:
        text = self.text(it)
        return it.user, None if text is None else text.text_id, it.claims()

    def settled(self, it: ImportedAcceptance) -> ImportResult | None:
        """The answer to what needs no ledger any more: a reference of before, or one that is not to be taken."""
        if it.external_ref in self.refs:
            event_id, content = self.refs[it.external_ref]
            if content == self.content(it):
                return ImportResult(it.external_ref, "replayed", event_id)
            return ImportResult(it.external_ref, "refused", fault=ImportFault("external_ref", ImportConflict()))
        fault = next(self._faults(it), None)
        return None if fault is None else ImportResult(it.external_ref, "refused", fault=fault)

    def _faults(self, it: ImportedAcceptance) -> Iterator[ImportFault]:
        if (problem := self._not_theirs(self.users.get(it.user))) is not None:
            yield ImportFault("user", problem)
        if it.ordinal not in {ordinal for ordinal, _ in self.texts}:
            yield ImportFault("ordinal", AgreementVersionNotFound())
        elif (text := self.text(it)) is None:
            yield ImportFault("locale", AgreementTextNotFound())
        elif (problem := check_languages(self.document.required_locales, (text.locale,))) is not None:
            yield ImportFault("locale", problem)
        elif self.now < text.effective_at:
            yield ImportFault("ordinal", ImportBeforeEffect())
        if it.accepted_at > self.now:
            yield ImportFault("accepted_at", ImportInFuture())
        if (left := self.left.get(it.user)) is not None and it.accepted_at <= left:
            yield ImportFault("accepted_at", ImportBeforeWithdrawal())

    def _not_theirs(self, user: AnyRow | None) -> Problem | None:
        """Why this end user accepts nothing here, wherever they are said to have done so (agreements R13, R25)."""
        if user is None:
            return UserNotFound()
        return UserErased() if user.status == Status.ERASED else check_age(user.age_band, self.document.minors)


async def import_acceptances(world: World, actor: Actor, document_id: UUID, items: Sequence[ImportedAcceptance]) -> list[ImportResult]:
    """Record each of them or say why not; those that are good are taken whatever the others are. The same reference again is
    answered with the same event.

    Nobody waits in a circle: imports take turns by a row that nobody else takes, then hold the ledgers in the order of their users,
    then the document, as whoever decides holds a ledger first; users are looked at last, as `support.erasure` does.

    Raises AgreementNotFound, AgreementIsNotice.
    """
    keys = await load_signer(world)
    async with world.db.write() as tx:
        await dialect.upsert(tx, AgreementTurn, TURN, on=["name"], change={"turn": AgreementTurn.turn + 1}, where=true())
        ground = await _ground(tx, world, document_id, items)
        settled = [ground.settled(it) for it in items]
        chosen = sorted({it.user for it, told in zip(items, settled, strict=True) if told is None})
        for user_id in chosen:
            ground.heads[user_id] = await chain.lock_ledger(tx, user_id)
        await lock_document(tx, document_id)
        await _stand(tx, ground, chosen, items)
        both = zip(items, settled, strict=True)
        return [told or ground.settled(it) or await _take(tx, world, keys, actor, (ground, it)) for it, told in both]


async def _ground(tx: Transaction, world: World, document_id: UUID, items: Sequence[ImportedAcceptance]) -> ImportBatch:
    document = (await tx.execute(_document.where(AgreementDocument.id == document_id))).one_or_none()
    if document is None:
        raise AgreementNotFound
    if document.kind == Kind.NOTICE:
        raise AgreementIsNotice
    users = (await tx.execute(_users.where(User.id.in_({it.user for it in items})))).all()
    refs = (await tx.execute(_known.where(AgreementImport.external_ref.in_({it.external_ref for it in items})))).all()
    return ImportBatch(
        document,
        world.clock.now(),
        await _texts(tx, document_id, items),
        {user.id: user for user in users},
        {row.external_ref: (row.id, (row.user_id, row.text_id, read_import_claims(row.type, row.receipt))) for row in refs},
    )


async def _texts(tx: Transaction, document_id: UUID, items: Sequence[ImportedAcceptance]) -> Mapping[tuple[int, str], AnyRow]:
    mine = chain.TEXT_QUERY.where(AgreementVersion.document_id == document_id, AgreementVersion.status == VersionStatus.PUBLISHED)
    texts = (await tx.execute(mine.where(AgreementVersion.ordinal.in_({it.ordinal for it in items})))).all()
    return {(text.ordinal, text.locale): text for text in texts}


async def _stand(tx: Transaction, ground: ImportBatch, users: Sequence[UUID], items: Sequence[ImportedAcceptance]) -> None:
    """Where the users stand with the document, and when they last withdrew: asked under their ledgers. Texts and users are asked
    for anew: while this waited, a version may have been cancelled and a user erased."""
    document_id = ground.document.id
    ground.texts = await _texts(tx, document_id, items)
    there = (await tx.execute(_users.where(User.id.in_(users)).with_for_update(read=True, key_share=True))).all()
    ground.users = {**ground.users, **{user.id: user for user in there}}
    about = (AgreementEvent.document_id == document_id, AgreementEvent.type == EventType.WITHDRAWN, AgreementEvent.user_id.in_(users))
    ground.left = {row.user_id: row.at for row in (await tx.execute(_left.where(*about))).all()}
    ground.duties = {user_id: Obligation(document_id, 0, 0, ()) for user_id in users}
    mine = _states.where(AgreementState.document_id == document_id, AgreementState.user_id.in_(users))
    for row in (await tx.execute(mine)).all():
        ordinals = (row.accepted_ordinal, row.declined_ordinal)
        duty = Obligation(document_id, *ordinals, (), row.notified_ordinal, row.withdrawn_at is not None)
        ground.duties[row.user_id] = duty


async def _take(tx: Transaction, world: World, keys: Signer, actor: Actor, one: tuple[ImportBatch, ImportedAcceptance]) -> ImportResult:
    """Add it to its end user's chain."""
    ground, it = one
    about = ground.texts[it.ordinal, it.locale or ground.document.default_locale]
    act = NewEvent(it.user, EventType.IMPORTED, ground.now, about, actor, claims=it.claims())
    event = await chain.append(tx, world, keys, ground.heads[it.user], act)
    if not await dialect.insert_once(tx, AgreementImport, {"external_ref": it.external_ref, "event_id": event.id}, unless=["external_ref"]):
        raise RuntimeError("a reference came in past the queue of imports")
    ground.heads[it.user] = replace(ground.heads[it.user], seq=event.seq, sha256=digest(event.receipt))
    ground.duties[it.user] = await chain.update_state(tx, ground.duties[it.user], act, event)
    ground.refs[it.external_ref] = event.id, ground.content(it)
    facts = {"ordinal": it.ordinal, "receipt": str(event.id)}
    await record(tx, world, "agreement.imported", actor, ("agreement", ground.document.id), it.user, **facts)
    return ImportResult(it.external_ref, "created", event.id)
