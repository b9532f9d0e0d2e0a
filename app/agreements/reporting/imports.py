"""Imports acceptances that were given elsewhere, the only acceptances that are not the end user's own act.

They stay marked (`imported`, grade C; agreements R16). Each external reference is imported once.
"""

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
    AgreementKind,
    AgreementLock,
    AgreementState,
    AgreementVersion,
    EventType,
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
from app.users.models import User, UserStatus
from app.users.problems import UserErased, UserNotFound
from app.world import World

IMPORT_LOCK = {"name": "imports", "turn": 1}
"""The lock of all imports: two imports with the same references could otherwise deadlock."""
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
_withdrawals = select(AgreementEvent.user_id, func.max(AgreementEvent.at, type_=UtcDateTime()).label("at")).group_by(AgreementEvent.user_id)
_states = select(
    AgreementState.user_id,
    AgreementState.accepted_ordinal,
    AgreementState.declined_ordinal,
    AgreementState.notified_ordinal,
    AgreementState.withdrawn_at,
)


@dataclass(frozen=True)
class ImportedAcceptance:
    """An acceptance as the operator reports it. `locale` None: the document's default. `source`: where it can be looked up."""

    user: UUID
    ordinal: int
    locale: str | None
    accepted_at: datetime
    external_ref: str
    source: str | None

    def claims(self) -> dict[str, Any]:
        values = {"accepted_at": instant_text(self.accepted_at), "external_ref": self.external_ref, "source": self.source}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class ImportFault:
    """Why an acceptance was refused, and the name of the field at fault."""

    name: str
    problem: Problem


@dataclass(frozen=True)
class ImportResult:
    """The result for one acceptance. `event`: of the first import, also for a repeated one."""

    external_ref: str
    result: Literal["created", "replayed", "refused"]
    event: UUID | None = None
    fault: ImportFault | None = None


Content = tuple[UUID, UUID | None, Mapping[str, Any]]
"""User, text and claims. The same reference must have the same content each time."""


@dataclass
class ImportBatch:
    """The facts for the checks of the acceptances, and the state that changes while they are stored one by one."""

    document: AnyRow
    now: datetime
    texts: Mapping[tuple[int, str], AnyRow]
    users: Mapping[UUID, AnyRow]
    refs: dict[str, tuple[UUID, Content]]
    heads: dict[UUID, ChainHead] = field(default_factory=dict)
    withdrawn: Mapping[UUID, datetime] = field(default_factory=dict)
    obligations: dict[UUID, Obligation] = field(default_factory=dict)

    def text(self, item: ImportedAcceptance) -> AnyRow | None:
        return self.texts.get((item.ordinal, item.locale or self.document.default_locale))

    def content(self, item: ImportedAcceptance) -> Content:
        text = self.text(item)
        return item.user, None if text is None else text.text_id, item.claims()

    def decide(self, item: ImportedAcceptance) -> ImportResult | None:
        """Return the result for an acceptance with a known reference or a fault; None if it must be stored."""
        if item.external_ref in self.refs:
            event_id, content = self.refs[item.external_ref]
            if content == self.content(item):
                return ImportResult(item.external_ref, "replayed", event_id)
            return ImportResult(item.external_ref, "refused", fault=ImportFault("external_ref", ImportConflict()))
        fault = next(self._list_faults(item), None)
        return None if fault is None else ImportResult(item.external_ref, "refused", fault=fault)

    def _list_faults(self, item: ImportedAcceptance) -> Iterator[ImportFault]:
        if (problem := self._check_user(self.users.get(item.user))) is not None:
            yield ImportFault("user", problem)
        if item.ordinal not in {ordinal for ordinal, _ in self.texts}:
            yield ImportFault("ordinal", AgreementVersionNotFound())
        elif (text := self.text(item)) is None:
            yield ImportFault("locale", AgreementTextNotFound())
        elif (problem := check_languages(self.document.required_locales, (text.locale,))) is not None:
            yield ImportFault("locale", problem)
        elif self.now < text.effective_at:
            yield ImportFault("ordinal", ImportBeforeEffect())
        if item.accepted_at > self.now:
            yield ImportFault("accepted_at", ImportInFuture())
        if (withdrawn := self.withdrawn.get(item.user)) is not None and item.accepted_at <= withdrawn:
            yield ImportFault("accepted_at", ImportBeforeWithdrawal())

    def _check_user(self, user: AnyRow | None) -> Problem | None:
        """Return the reason why this end user cannot accept, or None (agreements R13, R25)."""
        if user is None:
            return UserNotFound()
        return UserErased() if user.status == UserStatus.ERASED else check_age(user.age_band, self.document.minors)


async def import_acceptances(world: World, actor: Actor, document_id: UUID, items: Sequence[ImportedAcceptance]) -> list[ImportResult]:
    """Import each acceptance or report its fault, independently of the others. A repeated reference returns the same event.

    Lock order, to avoid deadlocks: the import lock, the ledgers in the order of their users, the document (a decision also locks a ledger
    first), and the users last, as the erasure does. Raises AgreementNotFound, AgreementIsNotice.
    """
    keys = await load_signer(world)
    async with world.db.write() as tx:
        await dialect.upsert(tx, AgreementLock, IMPORT_LOCK, on=["name"], change={"turn": AgreementLock.turn + 1}, where=true())
        batch = await _load_batch(tx, world, document_id, items)
        results = [batch.decide(item) for item in items]
        user_ids = sorted({item.user for item, result in zip(items, results, strict=True) if result is None})
        for user_id in user_ids:
            batch.heads[user_id] = await chain.lock_ledger(tx, user_id)
        await lock_document(tx, document_id)
        await _load_states(tx, batch, user_ids, items)
        pairs = zip(items, results, strict=True)
        return [result or batch.decide(item) or await _store(tx, world, keys, actor, (batch, item)) for item, result in pairs]


async def _load_batch(tx: Transaction, world: World, document_id: UUID, items: Sequence[ImportedAcceptance]) -> ImportBatch:
    document = (await tx.execute(_document.where(AgreementDocument.id == document_id))).one_or_none()
    if document is None:
        raise AgreementNotFound
    if document.kind == AgreementKind.NOTICE:
        raise AgreementIsNotice
    users = (await tx.execute(_users.where(User.id.in_({item.user for item in items})))).all()
    refs = (await tx.execute(_known.where(AgreementImport.external_ref.in_({item.external_ref for item in items})))).all()
    return ImportBatch(
        document,
        world.clock.now(),
        await _load_texts(tx, document_id, items),
        {user.id: user for user in users},
        {row.external_ref: (row.id, (row.user_id, row.text_id, read_import_claims(row.type, row.receipt))) for row in refs},
    )


async def _load_texts(tx: Transaction, document_id: UUID, items: Sequence[ImportedAcceptance]) -> Mapping[tuple[int, str], AnyRow]:
    published = chain.TEXT_QUERY.where(AgreementVersion.document_id == document_id, AgreementVersion.status == VersionStatus.PUBLISHED)
    texts = (await tx.execute(published.where(AgreementVersion.ordinal.in_({item.ordinal for item in items})))).all()
    return {(text.ordinal, text.locale): text for text in texts}


async def _load_states(tx: Transaction, batch: ImportBatch, user_ids: Sequence[UUID], items: Sequence[ImportedAcceptance]) -> None:
    """Load the users' states and last withdrawals under their locks.

    Texts and users are loaded again: a version may have been cancelled or a user erased before the locks were taken.
    """
    document_id = batch.document.id
    batch.texts = await _load_texts(tx, document_id, items)
    users = (await tx.execute(_users.where(User.id.in_(user_ids)).with_for_update(read=True, key_share=True))).all()
    batch.users = {**batch.users, **{user.id: user for user in users}}
    is_withdrawal = (AgreementEvent.document_id == document_id, AgreementEvent.type == EventType.WITHDRAWN)
    withdrawals = (await tx.execute(_withdrawals.where(*is_withdrawal, AgreementEvent.user_id.in_(user_ids)))).all()
    batch.withdrawn = {row.user_id: row.at for row in withdrawals}
    batch.obligations = {user_id: Obligation(document_id, 0, 0, ()) for user_id in user_ids}
    states = _states.where(AgreementState.document_id == document_id, AgreementState.user_id.in_(user_ids))
    for row in (await tx.execute(states)).all():
        ordinals = (row.accepted_ordinal, row.declined_ordinal)
        obligation = Obligation(document_id, *ordinals, (), row.notified_ordinal, row.withdrawn_at is not None)
        batch.obligations[row.user_id] = obligation


async def _store(tx: Transaction, world: World, keys: Signer, actor: Actor, entry: tuple[ImportBatch, ImportedAcceptance]) -> ImportResult:
    """Append the acceptance to its end user's chain."""
    batch, item = entry
    about = batch.texts[item.ordinal, item.locale or batch.document.default_locale]
    event = NewEvent(item.user, EventType.IMPORTED, batch.now, about, actor, claims=item.claims())
    recorded = await chain.append_event(tx, world, keys, batch.heads[item.user], event)
    reference = {"external_ref": item.external_ref, "event_id": recorded.id}
    if not await dialect.insert_once(tx, AgreementImport, reference, unless=["external_ref"]):
        raise RuntimeError("a reference was imported without the import lock")
    batch.heads[item.user] = replace(batch.heads[item.user], seq=recorded.seq, sha256=digest(recorded.receipt))
    batch.obligations[item.user] = await chain.update_state(tx, batch.obligations[item.user], event, recorded)
    batch.refs[item.external_ref] = recorded.id, batch.content(item)
    facts = {"ordinal": item.ordinal, "receipt": str(recorded.id)}
    await record(tx, world, "agreement.imported", actor, ("agreement", batch.document.id), item.user, **facts)
    return ImportResult(item.external_ref, "created", recorded.id)
