"""Showing a text to an end user: one row for each showing, bound to user, text and time, spent by the first decision (R14)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Integer, bindparam, func, insert, select, update

from app.agreements import duties, overview
from app.agreements.duties import Duty, Version
from app.agreements.models import AgreementPresentation, AgreementText
from app.agreements.overview import Shown, Wish
from app.agreements.problems import AgreementNotFound, AgreementVersionNotFound, AlreadyDecided, PresentationExpired, PresentationNotFound
from app.db.base import table
from app.db.types import AnyRow
from app.events.service import record
from app.users.erasure import still_there
from app.web.callers import Subject
from app.web.problems import TokenInvalid
from app.world import World

Values = dict[str, Any]

_text = select(AgreementText.body, AgreementText.title, AgreementText.statement, AgreementText.accept_label, AgreementText.decline_label)
_one = select(*table(AgreementPresentation).columns).where(
    AgreementPresentation.id == bindparam("presentation"), AgreementPresentation.user_id == bindparam("whose")
)
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


@dataclass(frozen=True)
class Presented:
    """What is on the screen: which presentation, until when it can be decided, and the words."""

    id: UUID
    expires_at: datetime
    shown: Shown
    words: AnyRow


async def present(world: World, by: Subject, document_id: UUID, version_id: UUID | None, wish: Wish, screen: Values) -> Presented:
    """Show the version in effect (to whoever owes nothing, the coming one) in the best language, and note that it was shown.

    `version_id` names the version in effect or the coming one instead. `screen`: format, client, app_version, platform, ui_ref.
    Raises AgreementNotFound, AgreementVersionNotFound.
    """
    now = world.clock.now()
    async with world.db.read() as session:
        found = await overview.standing(session, by.id, document_id)
        if found is None:
            raise AgreementNotFound
        document, duty = found
        shown = await overview.shown(session, document, _version(duty, version_id, now), wish)
        words = (await session.execute(_text.where(AgreementText.id == shown.text.id))).one()
    values = {
        **screen,
        "id": world.entropy.identifier(),
        "user_id": by.id,
        "text_id": shown.text.id,
        "locale_requested": shown.choice.requested,
        "fallback": shown.choice.fallback,
        "presented_at": now,
        "expires_at": now + world.settings.presentation_lifetime,
    }
    async with world.db.write() as session:
        if not await still_there(session, by.id):
            raise TokenInvalid("The account was erased.")
        await session.execute(insert(AgreementPresentation).values(values))
        facts = {"presentation": str(values["id"]), "ordinal": shown.version.ordinal, "locale": shown.choice.served}
        await record(session, world, "agreement.presented", by.actor, ("agreement", document_id), by.id, **facts)
        return Presented(values["id"], values["expires_at"], shown, words)


def _version(duty: Duty, version_id: UUID | None, now: datetime) -> Version:
    """The version to show: by rule, or the one named if it is in effect or coming; older ones are history."""
    if version_id is None:
        wanted = duties.to_show(duty, now)
        if wanted is None:
            raise AgreementNotFound
        return wanted
    for candidate in (duties.current(duty.versions, now), duties.scheduled(duty.versions, now)):
        if candidate is not None and candidate.id == version_id:
            return candidate
    raise AgreementVersionNotFound


async def claim(world: World, by: Subject, presentation_id: UUID, scrolled_to_end: bool | None, dwell_ms: int | None) -> AnyRow:
    """Note what the client claims while the text is on the screen; None leaves what was claimed before.

    Raises PresentationNotFound, AlreadyDecided, PresentationExpired.
    """
    place = {"presentation": presentation_id, "whose": by.id}
    async with world.db.write() as session:
        given = {"now": world.clock.now(), "scrolled": scrolled_to_end, "dwell": dwell_ms}
        taken = (await session.execute(_claim, {**place, **given})).rowcount == 1
        row = (await session.execute(_one, place)).one_or_none()
        if row is None:
            raise PresentationNotFound
        if not taken:
            raise AlreadyDecided if row.decided_at is not None else PresentationExpired
        return row
