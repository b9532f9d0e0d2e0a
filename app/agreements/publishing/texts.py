"""The words of a version, one text for each language: written and deleted in a draft, added to a published version, read by everybody."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from anyio import to_thread
from sqlalchemy import bindparam, delete, exists, insert, select, update

from app.agreements import rendering, rules
from app.agreements.models import AgreementText, AgreementVersion, VersionStatus
from app.agreements.problems import AgreementChangesMissing, AgreementTextFrozen, AgreementTextNotFound, AgreementVersionCancelled
from app.agreements.publishing.documents import lock_version
from app.base.problems import Malformed
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow, AnySelect
from app.events.service import Actor, record
from app.world import World

Values = dict[str, Any]

MOST_LINES = 10
_text = select(*table(AgreementText).columns).where(
    AgreementText.version_id == bindparam("version"), AgreementText.locale == bindparam("locale")
)
_status = select(AgreementVersion.status).where(AgreementVersion.id == bindparam("version"))
_COLUMNS = {
    "text/markdown": (AgreementText.body, AgreementText.sha256),
    "text/html": (AgreementText.html, AgreementText.html_sha256),
    "text/plain": (AgreementText.plain, AgreementText.plain_sha256),
}
MEDIA_TYPES = tuple(_COLUMNS)
"""What a published text can be had as; the source, which its hash is of, is the first choice."""
_public: Mapping[str, AnySelect] = {
    form: select(body.label("body"), sha256.label("sha256"), AgreementText.locale)
    .join(AgreementVersion, AgreementVersion.id == AgreementText.version_id)
    .where(AgreementText.id == bindparam("text"), AgreementVersion.status != VersionStatus.DRAFT)
    for form, (body, sha256) in _COLUMNS.items()
}


async def write(world: World, actor: Actor, version_id: UUID, locale: str, values: Values) -> AnyRow:
    """Write one language of a version: freely while it is a draft; once published only a language that it lacks (agreements R3).

    Writing the very same again changes nothing. Raises Malformed (words that a form would not show), AgreementTextFrozen,
    AgreementChangesMissing, AgreementVersionNotFound, AgreementVersionCancelled.
    """
    body = rules.normalise(values["body"])
    statement = rules.digest_statement(values["statement"], values["accept_label"], values["decline_label"])
    wanted = {**values, "body": body, "sha256": rules.digest(body), "statement_sha256": statement}
    if lines := await to_thread.run_sync(rendering.find_lost_lines, body):
        told = ", ".join(str(number) for number in lines[:MOST_LINES])
        raise Malformed([("/body", "words_not_shown", f"has words that HTML or plain text would leave out, in line {told}")])
    made = await _rendered(world, version_id, body, locale)
    place = {"version": version_id, "locale": locale}
    async with world.db.write() as tx:
        owner = await lock_version(tx, version_id)
        found = (await tx.execute(_text, place)).one_or_none()
        if found is not None and all(found._mapping[name] == value for name, value in wanted.items()):
            return found
        if owner.status != VersionStatus.DRAFT:
            await _may_be_added(tx, owner, found, wanted)
            wanted |= made or rules.freeze_text(body, locale)
        if found is None:
            fresh = {**wanted, "id": world.entropy.identifier(), "version_id": version_id, "locale": locale}
            await tx.execute(insert(table(AgreementText)).values(**fresh, created_at=world.clock.now()))
        else:
            await tx.execute(update(AgreementText).where(AgreementText.id == found.id).values(wanted))
        facts = {"version": str(version_id), "locale": locale, "sha256": wanted["sha256"]}
        await record(tx, world, "agreement.text_written", actor, ("agreement", owner.document_id), **facts)
        return (await tx.execute(_text, place)).one()


async def _rendered(world: World, version_id: UUID, body: str, locale: str) -> Mapping[str, str]:
    """What a language that comes late is kept as, made before the write block; nothing for a draft, which is rendered at publish."""
    async with world.db.query() as tx:
        status = await tx.scalar(_status, {"version": version_id})
    return await to_thread.run_sync(rules.freeze_text, body, locale) if status == VersionStatus.PUBLISHED else {}


async def _may_be_added(tx: Transaction, owner: AnyRow, found: AnyRow | None, wanted: Values) -> None:
    """Whether a published version takes this text: only in a new language, and as complete as agreements R4 asked of the others."""
    if found is not None:
        raise AgreementTextFrozen
    if owner.status == VersionStatus.CANCELLED:
        raise AgreementVersionCancelled
    earlier = exists().where(
        AgreementVersion.document_id == owner.document_id,
        AgreementVersion.status == VersionStatus.PUBLISHED,
        AgreementVersion.ordinal < owner.ordinal,
    )
    follows = bool(await tx.scalar(select(earlier)))
    if rules.needs_changes(owner.change_class, follows) and wanted["changes"] is None:
        raise AgreementChangesMissing("Give `changes`.")


async def discard(world: World, actor: Actor, version_id: UUID, locale: str) -> None:
    """Delete one language of a draft. Raises AgreementVersionNotFound, AgreementTextNotFound, AgreementTextFrozen."""
    async with world.db.write() as tx:
        owner = await lock_version(tx, version_id)
        found = (await tx.execute(_text, {"version": version_id, "locale": locale})).one_or_none()
        if found is None:
            raise AgreementTextNotFound(facts={"locale": locale})
        if owner.status != VersionStatus.DRAFT:
            raise AgreementTextFrozen
        await tx.execute(delete(AgreementText).where(AgreementText.id == found.id))
        about = ("agreement", owner.document_id)
        await record(tx, world, "agreement.text_deleted", actor, about, version=str(version_id), locale=locale)


async def get_published(world: World, text_id: UUID, form: str) -> AnyRow:
    """A text of a version that was published, cancelled or not, for everybody: its body and hash in one of the FORMS, its locale.

    Raises AgreementTextNotFound.
    """
    async with world.db.query() as tx:
        row = (await tx.execute(_public[form], {"text": text_id})).one_or_none()
    if row is None:
        raise AgreementTextNotFound
    return row
