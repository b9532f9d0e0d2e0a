"""Presents a text to an end user. A presentation is one row, bound to user, text, format and client, for one decision (agreements R14).

Showing a notice, which needs no decision, is recorded as an event once for each version (agreements R11).
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
"""The largest accepted difference between the clocks of two replicas (agreements R23)."""
CAPACITY: Mapping[str, str] = {AgeBand.ADULT: "adult", AgeBand.MINOR: "minor_self", AgeBand.UNKNOWN: "unknown"}
"""The capacity in which an end user acts, by age band (agreements, "The record")."""

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
"""The columns of each format: text and hash."""
_presentation = select(*table(AgreementPresentation).columns).where(
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
"""A presentation with its text, version, document and product, and the end user's age band."""
_record_reading = (
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
_lock_document = update(AgreementDocument).where(AgreementDocument.id == bindparam("document")).values(rev=AgreementDocument.rev + 1)
_status = select(AgreementVersion.status).where(AgreementVersion.id == bindparam("version"))


@dataclass(frozen=True)
class Presentation:
    """A started presentation. `expires_at`: the deadline for the decision. `text`: title, statement, labels. `body`: in `format`."""

    id: UUID
    expires_at: datetime
    selection: TextSelection
    text: AnyRow
    format: FormatName
    body: str
    served_sha256: str


async def start_presentation(
    world: World,
    subject: Subject,
    origin: Origin,
    document_id: UUID,
    version_id: UUID | None,
    languages: LanguageRequest,
    screen: Values,
) -> Presentation:
    """Present a text in the best language and store that it was shown.

    `version_id`: the version in effect or the upcoming one; None: chosen by `choose_version`. `screen`: format, client, app_version,
    platform, ui_ref. Raises AgreementNotFound, AgreementVersionNotFound, AgreementVersionCancelled, FormatNotAvailable.
    """
    now = world.clock.now()
    async with world.db.read() as tx:
        pair = await overview.load_document(tx, world, subject.id, document_id, now)
        if pair is None:
            raise AgreementNotFound
        document, obligation = pair
        selection = await overview.select_text(tx, document, _find_version(obligation, version_id, now), languages)
        text = (await tx.execute(_text.where(AgreementText.id == selection.text.id))).one()
    body, served_sha256 = (text._mapping[name] for name in _FORMATS[screen["format"]])
    if body is None:
        raise FormatNotAvailable(facts={"format": screen["format"]})
    values = {
        **screen,
        "id": world.entropy.identifier(),
        "user_id": subject.id,
        "text_id": selection.text.id,
        "locale_requested": selection.choice.requested,
        "fallback": selection.choice.fallback,
        "presented_at": now,
        "expires_at": now + world.settings.presentation_lifetime,
        "served_sha256": served_sha256,
        "session_id": subject.session_id,
    }
    keys = await load_signer(world) if obligation.must_record_showing(selection.version, now) else None
    async with world.db.write() as tx:
        head = await chain.lock_ledger(tx, subject.id) if keys is not None else None  # the ledger is locked before the user
        if not await lock_unless_erased(tx, subject.id):
            raise TokenInvalid("The account was erased.")
        await tx.execute(insert(AgreementPresentation).values(values))
        if keys is not None and head is not None:
            await _record_showing(tx, world, (keys, head), SessionContext(subject, origin), selection.version, values)
        facts = {"presentation": str(values["id"]), "ordinal": selection.version.ordinal, "locale": selection.choice.served}
        await record(tx, world, "agreement.presented", subject.actor, ("agreement", document_id), subject.id, **facts)
        return Presentation(values["id"], values["expires_at"], selection, text, screen["format"], body, served_sha256)


def _find_version(obligation: Obligation, version_id: UUID | None, now: datetime) -> Version:
    """Return the version to show: chosen by rule, or the requested version if it is in effect or upcoming. Raises the problem otherwise."""
    if version_id is None:
        version = obligations.choose_version(obligation, now)
        if version is None:
            raise AgreementNotFound
        return version
    for candidate in (obligations.find_current(obligation.versions, now), obligations.find_scheduled(obligation.versions, now)):
        if candidate is not None and candidate.id == version_id:
            return candidate
    raise AgreementVersionNotFound


async def _record_showing(
    tx: Transaction, world: World, signing: tuple[Signer, ChainHead], session: SessionContext, version: Version, values: Values
) -> None:
    """Record in the ledger that the notice was shown, unless another request did so meanwhile (agreements R11)."""
    keys, head = signing
    subject, now = session.subject, values["presented_at"]
    presentation = (await tx.execute(PRESENTATION_DETAILS, {"presentation": values["id"], "whose": subject.id})).one()
    await ensure_published(tx, presentation, now)
    obligation = (await load_obligations(tx, world, subject.id, presentation.product_id)).for_document(presentation.document_id)
    if not obligation.must_record_showing(version, now):
        return
    event = NewEvent(
        subject.id,
        EventType.NOTICE_SHOWN,
        now,
        presentation,
        subject.actor,
        session,
        presentation,
        facts=describe_capacity(presentation),
    )
    recorded = await chain.append_event(tx, world, keys, head, event)
    await chain.update_state(tx, obligation, event, recorded)
    facts = {"ordinal": version.ordinal, "presentation": str(values["id"]), "receipt": str(recorded.id)}
    await record(tx, world, "agreement.notice_shown", event.actor, ("agreement", presentation.document_id), event.user_id, **facts)


async def ensure_published(tx: Transaction, about: AnyRow, now: datetime) -> None:
    """Check that the version is published, and keep a scheduled one from being cancelled until this transaction ends (agreements R5).

    A version in effect cannot be cancelled, so it needs no lock. Raises AgreementVersionCancelled.
    """
    status = about.status
    if now < about.effective_at + CLOCK_TOLERANCE:
        await tx.execute(_lock_document, {"document": about.document_id})
        status = await tx.scalar(_status, {"version": about.version_id})
    if status != VersionStatus.PUBLISHED:
        raise AgreementVersionCancelled


def describe_capacity(about: AnyRow) -> Mapping[str, str]:
    """Build the receipt's claim about the capacity of the end user, by age band."""
    return {"capacity": CAPACITY[about.age_band]}


async def record_reading(
    world: World, subject: Subject, presentation_id: UUID, scrolled_to_end: bool | None, dwell_ms: int | None
) -> AnyRow:
    """Store the client's claims about reading while the text is on the screen. None keeps the earlier value.

    Raises PresentationNotFound, AlreadyDecided, PresentationExpired.
    """
    key = {"presentation": presentation_id, "whose": subject.id}
    async with world.db.write() as tx:
        values = {"now": world.clock.now(), "scrolled": scrolled_to_end, "dwell": dwell_ms}
        updated = (await tx.execute(_record_reading, {**key, **values})).rowcount == 1
        row = (await tx.execute(_presentation, key)).one_or_none()
        if row is None:
            raise PresentationNotFound
        if not updated:
            raise AlreadyDecided if row.decided_at is not None else PresentationExpired
        return row
