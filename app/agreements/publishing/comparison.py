"""Compares two versions in one language, so that the operator can decide the change class."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from anyio import to_thread
from sqlalchemy import select

from app.agreements import rules
from app.agreements.models import AgreementDocument
from app.agreements.problems import AgreementTextNotFound, AgreementVersionFirst
from app.agreements.publishing.differences import Differences, compare_texts
from app.agreements.publishing.documents import AgreementDetails, load_version
from app.db.types import AnyRow
from app.world import World

FIELDS = ("title", "summary", "changes", "statement", "accept_label", "decline_label")
"""The fields of a text other than its body."""


@dataclass(frozen=True)
class Comparison:
    """Two versions with their texts in one language. `fields`: name, old and new value of each field that differs."""

    before: tuple[AgreementDetails, AnyRow]
    after: tuple[AgreementDetails, AnyRow]
    fields: Sequence[tuple[str, str | None, str | None]]
    body: Differences


async def compare_versions(world: World, version_id: UUID, against: UUID | None, locale: str | None) -> Comparison:
    """Compare a version, also a draft, with `against` (None: the previous published version of the same document).

    `locale` None: the default language of the version's document. Raises AgreementVersionNotFound, AgreementVersionFirst,
    AgreementTextNotFound.
    """
    async with world.db.read() as tx:
        now = world.clock.now()
        after = await load_version(tx, version_id, now)
        if against is None:
            previous = rules.find_previous(after.row.ordinal, after.list_published())
            if previous is None:
                raise AgreementVersionFirst
            against = previous.id
        before = await load_version(tx, against, now)
        if locale is None:
            locale = await tx.scalar(select(AgreementDocument.default_locale).where(AgreementDocument.id == after.row.document_id))
    old, new = _find_text(before, locale), _find_text(after, locale)
    fields = [(name, old._mapping[name], new._mapping[name]) for name in FIELDS if old._mapping[name] != new._mapping[name]]
    body = await to_thread.run_sync(compare_texts, old.body, new.body)
    return Comparison((before, old), (after, new), fields, body)


def _find_text(details: AgreementDetails, locale: str | None) -> AnyRow:
    text = next((text for text in details.texts if text.locale == locale), None)
    if text is None:
        raise AgreementTextNotFound(facts={"version": str(details.row.id), "locale": locale})
    return text
