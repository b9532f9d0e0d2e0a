"""Wire shapes of the operator's side: agreements, versions, texts. What an end user sees is in `me_schemas.py`."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field

from app.agreements import rules
from app.agreements.publishing.documents import AgreementDetails
from app.db.types import AnyRow
from app.web.fields import Instant, InstantIn, Locale, Name, Prose, Slug, WireModel, omittable

ChangeClassName = Literal["material", "notice", "editorial"]
KindName = Literal["eula", "notice"]
MinorsName = Literal["allow", "require_guardian", "deny"]
Place = Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z0-9]{2,}(-[A-Za-z0-9]{1,3})?$"), AfterValidator(str.upper)]


def _distinct(locales: list[str]) -> list[str]:
    if len(set(locales)) < len(locales):
        raise ValueError("wants each language once")
    return locales


RequiredLocales = Annotated[list[Locale], Field(max_length=50), AfterValidator(_distinct)]


class AgreementIn(WireModel):
    """`product` is the product's code; `region` `001` is the world, `CA` a country, `CA-QC` a part of one, `EU` a configured group.

    `default_locale` absent: the product's. `required_locales`: every version must have them. `minors`: what a minor may do.
    """

    product: Slug
    kind: KindName = "eula"
    region: Place = "001"
    name: Name
    default_locale: Locale | None = None
    required_locales: RequiredLocales = []
    minors: MinorsName = "allow"


class AgreementPatch(WireModel):
    """`default_locale` can be changed while nothing is published; product, kind and region never."""

    name: Name = omittable()
    default_locale: Locale = omittable()
    required_locales: RequiredLocales = omittable()
    minors: MinorsName = omittable()


class AgreementOut(WireModel):
    id: UUID
    product: str
    kind: KindName
    region: str
    name: str
    default_locale: str
    required_locales: list[str]
    minors: MinorsName
    created_at: Instant


class VersionLine(WireModel):
    """A version without its texts. `state` follows from the time, but for `draft` and `cancelled`."""

    id: UUID
    document: UUID
    ordinal: int | None
    label: str | None
    change_class: ChangeClassName
    state: rules.VersionState
    effective_at: Instant | None
    grace_until: Instant | None
    published_at: Instant | None
    published_by: UUID | None
    cancelled_at: Instant | None
    created_at: Instant

    @classmethod
    def told(cls, row: AnyRow, whole: AgreementDetails) -> dict[str, Any]:
        fields = {name: value for name, value in row._mapping.items() if name in VersionLine.model_fields}
        return {**fields, "document": row.document_id, "state": whole.state(row)}


class AgreementWhole(AgreementOut):
    """`versions`: the latest first."""

    versions: list[VersionLine]

    @classmethod
    def whole(cls, found: AgreementDetails) -> Self:
        versions = [VersionLine(**VersionLine.told(row, found)) for row in found.versions]
        return cls(**dict(AgreementOut.model_validate(found.row)), versions=versions)


class VersionIn(WireModel):
    change_class: ChangeClassName
    label: Name | None = None


class VersionPatch(WireModel):
    """Of a draft."""

    change_class: ChangeClassName = omittable()
    label: Name | None = None


class TextIn(WireModel):
    """`body` is Markdown; it is stored in NFC with LF line ends and a final one. The labels are the words on the two buttons."""

    title: Name
    body: Prose
    summary: Prose | None = None
    changes: Prose | None = None
    statement: Prose
    accept_label: Name
    decline_label: Name


class TextOut(WireModel):
    """`sha256` is over the UTF-8 bytes of `body`; `statement_sha256` over statement, LF, accept label, LF, decline label.

    `html_sha256` and `plain_sha256` are over the HTML and the plain text that were made of it at publish; null in a draft.
    """

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
    html_sha256: str | None
    plain_sha256: str | None
    created_at: Instant


class VersionOut(VersionLine):
    texts: list[TextOut]

    @classmethod
    def whole(cls, found: AgreementDetails) -> Self:
        return cls(**VersionLine.told(found.row, found), texts=[TextOut.model_validate(text) for text in found.texts])


class PublishIn(WireModel):
    """`effective_at` absent: now. `grace_until`: until when those who accepted an earlier version may go on without this one."""

    effective_at: InstantIn | None = None
    grace_until: InstantIn | None = None
