"""Wire models for operators: agreements, versions, texts. Those for end users are in `acceptance/schemas.py`."""

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
RegionCode = Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z0-9]{2,}(-[A-Za-z0-9]{1,3})?$"), AfterValidator(str.upper)]


def _refuse_duplicates(locales: list[str]) -> list[str]:
    if len(set(locales)) < len(locales):
        raise ValueError("must contain each language once")
    return locales


RequiredLocales = Annotated[list[Locale], Field(max_length=50), AfterValidator(_refuse_duplicates)]


class AgreementIn(WireModel):
    """A new agreement. `product` is the product's code. `region`: `001` (world), `CA` (country), `CA-QC` (subdivision), `EU` (group).

    `default_locale` absent: the product's. `required_locales`: every version must have these languages. `minors`: what a minor may do.
    """

    product: Slug
    kind: KindName = "eula"
    region: RegionCode = "001"
    name: Name
    default_locale: Locale | None = None
    required_locales: RequiredLocales = []
    minors: MinorsName = "allow"


class AgreementPatch(WireModel):
    """Changes of an agreement. `default_locale` can change until a version is published; product, kind and region cannot."""

    name: Name = omittable()
    default_locale: Locale = omittable()
    required_locales: RequiredLocales = omittable()
    minors: MinorsName = omittable()


class AgreementOut(WireModel):
    """An agreement without its versions."""

    id: UUID
    product: str
    kind: KindName
    region: str
    name: str
    default_locale: str
    required_locales: list[str]
    minors: MinorsName
    created_at: Instant


class VersionSummary(WireModel):
    """A version without its texts. `state` depends on the time, except `draft` and `cancelled`."""

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
    def fields_of(cls, row: AnyRow, details: AgreementDetails) -> dict[str, Any]:
        fields = {name: value for name, value in row._mapping.items() if name in VersionSummary.model_fields}
        return {**fields, "document": row.document_id, "state": details.state(row)}


class AgreementWithVersions(AgreementOut):
    """An agreement with its versions, latest first."""

    versions: list[VersionSummary]

    @classmethod
    def from_details(cls, details: AgreementDetails) -> Self:
        versions = [VersionSummary(**VersionSummary.fields_of(row, details)) for row in details.versions]
        return cls(**dict(AgreementOut.model_validate(details.row)), versions=versions)


class VersionIn(WireModel):
    """A new draft. `label` is free text."""

    change_class: ChangeClassName
    label: Name | None = None


class VersionPatch(WireModel):
    """Changes of a draft."""

    change_class: ChangeClassName = omittable()
    label: Name | None = None


class TextIn(WireModel):
    """A text. `body` is Markdown; it is stored in NFC with LF line ends and a final line end. The labels are for the two buttons."""

    title: Name
    body: Prose
    summary: Prose | None = None
    changes: Prose | None = None
    statement: Prose
    accept_label: Name
    decline_label: Name


class TextOut(WireModel):
    """A stored text. `sha256`: of the UTF-8 bytes of `body`. `statement_sha256`: of statement, LF, accept label, LF, decline label.

    `html_sha256` and `plain_sha256`: of the HTML and the plain text that were rendered at publishing; null in a draft.
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


class VersionOut(VersionSummary):
    """A version with its texts."""

    texts: list[TextOut]

    @classmethod
    def from_details(cls, details: AgreementDetails) -> Self:
        return cls(**VersionSummary.fields_of(details.row, details), texts=[TextOut.model_validate(text) for text in details.texts])


class PublishIn(WireModel):
    """When the version takes effect; absent: now. `grace_until`: until then an acceptance of an earlier version is enough."""

    effective_at: InstantIn | None = None
    grace_until: InstantIn | None = None
