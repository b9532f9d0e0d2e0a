"""Showing a text to an end user: one row for each showing, bound to user, text, format and client, spent by the first decision (agreements R14).

Showing what only informs is an act of its own, once for each version (agreements R11).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Boolean, Integer, bindparam, func, insert, select, update

from app.agreements import obligations
from app.agreements.acceptance import overview
from app.agreements.acceptance.overview import LanguageRequest, TextSelection
from app.agreements.facts import load_obligations
from app.agreements.ledger import chain
from app.agreements.ledger.chain import TEXT_COLUMNS, ChainHead, NewEvent, SessionContext
from app.agreements.models import AgreementDocument, AgreementPresentation, AgreementText, AgreementVersion, EventType, VersionStatus
from app.agreements.obligations import Obligation, Version
from app.agreements.problems import (
    AgreementNotFound,
    AgreementVersionCancelled,
    AgreementVersionNotFound,
    AlreadyDecided,
    FormatNotAvailable,
    PresentationExpired,
    PresentationNotFound,
)
from app.catalog.models import Product
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import record
from app.security.signing import Signer
from app.signing_keys.service import load_signer
from app.users.data_lifecycle import lock_unless_erased
from app.users.models import AgeBand, User
from app.web.callers import Origin, Subject
from app.web.problems import TokenInvalid
from app.world import World

Values = dict[str, Any]
FormatName = Literal["md", "html", "text"]
CLOCK_TOLERANCE = timedelta(seconds=2)
"""By how much the clocks of two replicas may differ before somebody is called (agreements R23)."""
CAPACITY: Mapping[str, str] = {AgeBand.ADULT: "adult", AgeBand.MINOR: "minor_self", AgeBand.UNKNOWN: "unknown"}
"""In which capacity an end user acts for himself, by age band (rules/agreements section 2.2)."""

_text = select(
    AgreementText.title,
    AgreementText.statement,
    AgreementText.accept_label,
    AgreementText.decline_label,
    AgreementText.sha256,
    AgreementText.html_sha256,
    AgreementText.plain_sha256,
    AgreementText.body,
    AgreementText.html,
    AgreementText.plain,
)
_FORMATS: Mapping[str, tuple[str, str]] = {"md": ("body", "sha256"), "html": ("html", "html_sha256"), "text": ("plain", "plain_sha256")}
"""The frozen words of each format, and their hash."""
_one = select(*table(AgreementPresentation).columns).where(
    AgreementPresentation.id == bindparam("presentation"), AgreementPresentation.user_id == bindparam("whose")
)
PRESENTATION_DETAILS = (
    select(
        *table(AgreementPresentation).columns,
        *(column for column in TEXT_COLUMNS if column.name != "text_id"),
        AgreementVersion.change_class,
        AgreementDocument.required_locales,
        AgreementDocument.minors,
        User.age_band,
    )
    .join(AgreementText, AgreementText.id == AgreementPresentation.text_id)
    .join(AgreementVersion, AgreementVersion.id == AgreementText.version_id)
    .join(AgreementDocument, AgreementDocument.id == AgreementVersion.document_id)
    .join(Product, Product.id == AgreementDocument.product_id)
    .join(User, User.id == AgreementPresentation.user_id)
    .where(AgreementPresentation.id == bindparam("presentation"), AgreementPresentation.user_id == bindparam("whose"))
)
"""A presentation with all that it is about, and whether its end user is of age."""
_claim = (
    update(AgreementPresentation)
    .where(
        AgreementPresentation.id == bindparam("presentation"),
        AgreementPresentation.user_id == bindparam("whose"),
        AgreementPresentation.decided_at.is_(None),
        AgreementPresentation.expires_at > bindparam("now"),
    )
    .values(
        scrolled_to_end=func.coalesce(bindparam("scrolled", type_=Boolean), AgreementPresentation.scrolled_to_end),
        dwell_ms=func.coalesce(bindparam("dwell", type_=Integer), AgreementPresentation.dwell_ms),
    )
)
_take_turns = update(AgreementDocument).where(AgreementDocument.id == bindparam("document")).values(rev=AgreementDocument.rev + 1)
_status = select(AgreementVersion.status).where(AgreementVersion.id == bindparam("version"))


@dataclass(frozen=True)
class Presentation:
    """What is on the screen: which presentation, until when it can be decided, and the words: `body` in the format asked for."""

    id: UUID
    expires_at: datetime
    shown: TextSelection
    words: AnyRow
    format: FormatName
    body: str
    served_sha256: str


async def present(
    world: World, subject: Subject, origin: Origin, document_id: UUID, version_id: UUID | None, wish: LanguageRequest, screen: Values
) -> Presentation:
    """Show the version in effect (to whoever owes nothing, the coming one) in the best language, and note that it was shown.

    `version_id` names the version in effect or the coming one instead. `screen`: format, client, app_version, platform, ui_ref.
    Raises AgreementNotFound, AgreementVersionNotFound, FormatNotAvailable.
    """
    now = world.clock.now()
    async with world.db.read() as tx:
        found = await overview.load_document(tx, world, subject.id, document_id, now)
        if found is None:
            raise AgreementNotFound
        document, duty = found
        shown = await overview.select_text(tx, document, _version(duty, version_id, now), wish)
        words = (await tx.execute(_text.where(AgreementText.id == shown.text.id))).one()
    body, served_sha256 = (words._mapping[name] for name in _FORMATS[screen["format"]])
    if body is None:
        raise FormatNotAvailable(facts={"format": screen["format"]})
    values = {
        **screen,
        "id": world.entropy.identifier(),
        "user_id": subject.id,
        "text_id": shown.text.id,
        "locale_requested": shown.choice.requested,
        "fallback": shown.choice.fallback,
        "presented_at": now,
        "expires_at": now + world.settings.presentation_lifetime,
        "served_sha256": served_sha256,
        "session_id": subject.session_id,
    }
    keys = await load_signer(world) if duty.must_record_showing(shown.version, now) else None
    async with world.db.write() as tx:
        head = await chain.lock_ledger(tx, subject.id) if keys is not None else None  # before the user, as everywhere
        if not await lock_unless_erased(tx, subject.id):
            raise TokenInvalid("The account was erased.")
        if keys is None or head is None:
            await tx.execute(insert(AgreementPresentation).values(values))
        else:
            await _told(tx, world, (keys, head), SessionContext(subject, origin), shown.version, values)
        facts = {"presentation": str(values["id"]), "ordinal": shown.version.ordinal, "locale": shown.choice.served}
        await record(tx, world, "agreement.presented", subject.actor, ("agreement", document_id), subject.id, **facts)
        return Presentation(values["id"], values["expires_at"], shown, words, screen["format"], body, served_sha256)


def _version(duty: Obligation, version_id: UUID | None, now: datetime) -> Version:
    """The version to show: by rule, or the one named if it is in effect or coming; older ones are history."""
    if version_id is None:
        wanted = obligations.choose_version(duty, now)
        if wanted is None:
            raise AgreementNotFound
        return wanted
    for candidate in (obligations.find_current(duty.versions, now), obligations.find_scheduled(duty.versions, now)):
        if candidate is not None and candidate.id == version_id:
            return candidate
    raise AgreementVersionNotFound


async def _told(
    tx: Transaction, world: World, pen: tuple[Signer, ChainHead], hand: SessionContext, version: Version, values: Values
) -> None:
    """Note the showing of news; in the ledger too, unless that was done meanwhile (agreements R11)."""
    keys, head = pen
    await tx.execute(insert(AgreementPresentation).values(values))
    shown = (await tx.execute(PRESENTATION_DETAILS, {"presentation": values["id"], "whose": hand.subject.id})).one()
    await ensure_published(tx, shown, values["presented_at"])
    before = (await load_obligations(tx, world, hand.subject.id, shown.product_id)).for_document(shown.document_id)
    if not before.must_record_showing(version, values["presented_at"]):
        return
    act = NewEvent(
        hand.subject.id,
        EventType.NOTICE_SHOWN,
        values["presented_at"],
        shown,
        hand.subject.actor,
        hand,
        shown,
        facts=describe_capacity(shown),
    )
    event = await chain.append(tx, world, keys, head, act)
    await chain.update_state(tx, before, act, event)
    facts = {"ordinal": version.ordinal, "presentation": str(values["id"]), "receipt": str(event.id)}
    await record(tx, world, "agreement.notice_shown", act.actor, ("agreement", shown.document_id), act.user_id, **facts)


async def ensure_published(tx: Transaction, about: AnyRow, now: datetime) -> None:
    """See that the version is published still, and if its time has not come, that it stays so until this transaction ends (agreements R5).

    Raises AgreementVersionCancelled. What is in effect can no longer be cancelled, so nobody has to wait for anybody there.
    """
    status = about.status
    if now < about.effective_at + CLOCK_TOLERANCE:
        await tx.execute(_take_turns, {"document": about.document_id})
        status = await tx.scalar(_status, {"version": about.version_id})
    if status != VersionStatus.PUBLISHED:
        raise AgreementVersionCancelled


def describe_capacity(about: AnyRow) -> Mapping[str, str]:
    """The receipt's claim of who acted: the end user, of this age band."""
    return {"capacity": CAPACITY[about.age_band]}


async def record_reading(
    world: World, subject: Subject, presentation_id: UUID, scrolled_to_end: bool | None, dwell_ms: int | None
) -> AnyRow:
    """Note what the client claims while the text is on the screen; None leaves what was claimed before.

    Raises PresentationNotFound, AlreadyDecided, PresentationExpired.
    """
    place = {"presentation": presentation_id, "whose": subject.id}
    async with world.db.write() as tx:
        given = {"now": world.clock.now(), "scrolled": scrolled_to_end, "dwell": dwell_ms}
        taken = (await tx.execute(_claim, {**place, **given})).rowcount == 1
        row = (await tx.execute(_one, place)).one_or_none()
        if row is None:
            raise PresentationNotFound
        if not taken:
            raise AlreadyDecided if row.decided_at is not None else PresentationExpired
        return row
