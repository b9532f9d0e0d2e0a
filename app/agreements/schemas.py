"""Wire shapes of the operator's side: agreements, versions, texts. What an end user sees is in `me_schemas.py`."""

from typing import Any, Literal, Self
from uuid import UUID

from app.agreements import rules
from app.agreements.documents import Whole
from app.db.types import AnyRow
from app.web.shapes import Instant, InstantIn, Locale, Name, Prose, Shape, Slug

ChangeClassName = Literal["material", "notice", "editorial"]


class AgreementIn(Shape):
    """`product` is the product's code; `region` `001` is the world. `default_locale` absent: the product's."""

    product: Slug
    kind: Literal["eula"] = "eula"
    region: Literal["001"] = "001"
    name: Name
    default_locale: Locale | None = None


class AgreementOut(Shape):
    id: UUID
    product: str
    kind: str
    region: str
    name: str
    default_locale: str
    created_at: Instant


class VersionLine(Shape):
    """A version without its texts. `state` follows from the time: draft, scheduled, effective, superseded."""

    id: UUID
    document: UUID
    ordinal: int | None
    label: str | None
    change_class: ChangeClassName
    state: Literal["draft", "scheduled", "effective", "superseded"]
    effective_at: Instant | None
    grace_until: Instant | None
    published_at: Instant | None
    created_at: Instant

    @classmethod
    def told(cls, row: AnyRow, whole: Whole) -> dict[str, Any]:
        fields = {name: value for name, value in row._mapping.items() if name in VersionLine.model_fields}
        return {**fields, "document": row.document_id, "state": rules.state(row.id, whole.published(), whole.now)}


class AgreementWhole(AgreementOut):
    """`versions`: the latest first."""

    versions: list[VersionLine]

    @classmethod
    def whole(cls, found: Whole) -> Self:
        versions = [VersionLine(**VersionLine.told(row, found)) for row in found.versions]
        return cls(**dict(AgreementOut.model_validate(found.row)), versions=versions)


class VersionIn(Shape):
    change_class: ChangeClassName
    label: Name | None = None


class TextIn(Shape):
    """`body` is Markdown; it is stored in NFC with LF line ends and a final one. The labels are the words on the two buttons."""

    title: Name
    body: Prose
    summary: Prose | None = None
    changes: Prose | None = None
    statement: Prose
    accept_label: Name
    decline_label: Name


class TextOut(Shape):
    """`sha256` is over the UTF-8 bytes of `body`; `statement_sha256` over statement, LF, accept label, LF, decline label."""

    id: UUID
    locale: str
    title: str
    body: str
    summary: str | None
    changes: str | None
    statement: str
    accept_label: str
    decline_label: str
    sha256: str
    statement_sha256: str
    created_at: Instant


class VersionOut(VersionLine):
    texts: list[TextOut]

    @classmethod
    def whole(cls, found: Whole) -> Self:
        return cls(**VersionLine.told(found.row, found), texts=[TextOut.model_validate(text) for text in found.texts])


class PublishIn(Shape):
    """`effective_at` absent: now. `grace_until`: until when those who accepted an earlier version may go on without this one."""

    effective_at: InstantIn | None = None
    grace_until: InstantIn | None = None
