"""Writes, deletes and reads the texts of a version, one for each language. Published texts are public."""

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

MAX_LINES = 10
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
"""The formats of a published text, the Markdown source first."""
_public: Mapping[str, AnySelect] = {
    media_type: select(body.label("body"), sha256.label("sha256"), AgreementText.locale)
    .join(AgreementVersion, AgreementVersion.id == AgreementText.version_id)
    .where(AgreementText.id == bindparam("text"), AgreementVersion.status != VersionStatus.DRAFT)
    for media_type, (body, sha256) in _COLUMNS.items()
}


async def write_text(world: World, actor: Actor, version_id: UUID, locale: str, values: Values) -> AnyRow:
    """Write one language of a version: any in a draft, only a new one in a published version (agreements R3).

    Writing the same text again changes nothing. Raises Malformed (words that a format would omit), AgreementTextFrozen,
    AgreementChangesMissing, AgreementVersionNotFound, AgreementVersionCancelled.
    """
    body = rules.normalise(values["body"])
    statement = rules.digest_statement(values["statement"], values["accept_label"], values["decline_label"])
    columns = {**values, "body": body, "sha256": rules.digest(body), "statement_sha256": statement}
    if lines := await to_thread.run_sync(rendering.find_lost_lines, body):
        numbers = ", ".join(str(number) for number in lines[:MAX_LINES])
        raise Malformed([("/body", "words_not_shown", f"has words that HTML or plain text would omit, in line {numbers}")])
    rendered = await _render_if_published(world, version_id, body, locale)
    place = {"version": version_id, "locale": locale}
    async with world.db.write() as tx:
        owner = await lock_version(tx, version_id)
        text = (await tx.execute(_text, place)).one_or_none()
        if text is not None and all(text._mapping[name] == value for name, value in columns.items()):
            return text
        if owner.status != VersionStatus.DRAFT:
            await _check_addition(tx, owner, text, columns)
            columns |= rendered or rules.freeze_text(body, locale)
        if text is None:
            key = {"id": world.entropy.identifier(), "version_id": version_id, "locale": locale}
            await tx.execute(insert(table(AgreementText)).values(**columns, **key, created_at=world.clock.now()))
        else:
            await tx.execute(update(AgreementText).where(AgreementText.id == text.id).values(columns))
        facts = {"version": str(version_id), "locale": locale, "sha256": columns["sha256"]}
        await record(tx, world, "agreement.text_written", actor, ("agreement", owner.document_id), **facts)
        return (await tx.execute(_text, place)).one()


async def _render_if_published(world: World, version_id: UUID, body: str, locale: str) -> Mapping[str, str]:
    """Render a language that is added after publishing, before the write transaction. Empty for a draft, which publishing renders."""
    async with world.db.query() as tx:
        status = await tx.scalar(_status, {"version": version_id})
    return await to_thread.run_sync(rules.freeze_text, body, locale) if status == VersionStatus.PUBLISHED else {}


async def _check_addition(tx: Transaction, owner: AnyRow, existing: AnyRow | None, columns: Values) -> None:
    """Raise unless a published version may get this text: in a new language, and as complete as publishing requires (agreements R4)."""
    if existing is not None:
        raise AgreementTextFrozen
    if owner.status == VersionStatus.CANCELLED:
        raise AgreementVersionCancelled
    earlier = exists().where(
        AgreementVersion.document_id == owner.document_id,
        AgreementVersion.status == VersionStatus.PUBLISHED,
        AgreementVersion.ordinal < owner.ordinal,
    )
    has_predecessor = bool(await tx.scalar(select(earlier)))
    if rules.needs_changes(owner.change_class, has_predecessor) and columns["changes"] is None:
        raise AgreementChangesMissing("Send `changes`, a summary of what is new for the reader.")


async def delete_text(world: World, actor: Actor, version_id: UUID, locale: str) -> None:
    """Delete the text in one language from a draft. Raises AgreementVersionNotFound, AgreementTextNotFound, AgreementTextFrozen."""
    async with world.db.write() as tx:
        owner = await lock_version(tx, version_id)
        text = (await tx.execute(_text, {"version": version_id, "locale": locale})).one_or_none()
        if text is None:
            raise AgreementTextNotFound(facts={"locale": locale})
        if owner.status != VersionStatus.DRAFT:
            raise AgreementTextFrozen
        await tx.execute(delete(AgreementText).where(AgreementText.id == text.id))
        about = ("agreement", owner.document_id)
        await record(tx, world, "agreement.text_deleted", actor, about, version=str(version_id), locale=locale)


async def get_published(world: World, text_id: UUID, media_type: str) -> AnyRow:
    """Return a published text in one of the MEDIA_TYPES: body, hash, locale. Texts of cancelled versions are included.

    Raises AgreementTextNotFound.
    """
    async with world.db.query() as tx:
        row = (await tx.execute(_public[media_type], {"text": text_id})).one_or_none()
    if row is None:
        raise AgreementTextNotFound
    return row
