"""Wire models of end users."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field

from app.db.types import AnyRow
from app.web.fields import Email, ExternalId, Flag, Instant, Locale, Metadata, Name, Region, WireModel, omittable

Timezone = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$")]
"""A name from the IANA time zone database, such as `Europe/Oslo`."""
AgeBandName = Literal["adult", "minor", "unknown"]


class Preferences(WireModel):
    """The user's preferences for the presentation of agreements."""

    agreement_format: Literal["html", "text", "large_print"] | None = None
    reduced_motion: Flag | None = None
    screen_reader: Flag | None = None

    def dump(self) -> dict[str, str | bool]:
        """Return the preferences that are set, as they are stored."""
        return self.model_dump(exclude_none=True)


class ProfileIn(WireModel):
    email: Email
    email_verified: Flag = False
    display_name: Name | None = None
    locale: Locale | None = None
    region: Region | None = None
    timezone: Timezone | None = None
    age_band: AgeBandName = "unknown"
    preferences: Preferences = Preferences()
    external_id: ExternalId | None = None
    metadata: Metadata = {}


class MePatch(WireModel):
    """Fields that users may change themselves. `preferences` is replaced as a whole. `age_band` can only rise: unknown, minor, adult."""

    display_name: Name | None = None
    locale: Locale | None = None
    region: Region | None = None
    timezone: Timezone | None = None
    age_band: AgeBandName = omittable()
    preferences: Preferences = omittable()

    def to_changes(self) -> dict[str, Any]:
        """Return only the fields that were sent."""
        sent = self.model_dump(exclude_unset=True)
        return sent | {"preferences": self.preferences.dump()} if "preferences" in sent else sent


class UserPatch(MePatch):
    email_verified: Flag = omittable()
    external_id: ExternalId | None = None
    metadata: Metadata = omittable()


class UserOut(WireModel):
    """An end user. The personal data of an erased user is removed; `email` is then a placeholder that receives no mail."""

    id: UUID
    email: str
    email_verified: bool
    display_name: str | None
    locale: str | None
    region: str | None
    timezone: str | None
    age_band: AgeBandName
    preferences: Preferences
    external_id: str | None
    status: Literal["active", "suspended", "erased"]
    metadata: Metadata
    created_at: Instant

    @classmethod
    def of(cls, row: AnyRow) -> Self:
        values = {name: value for name, value in row._mapping.items() if name in cls.model_fields}
        return cls(**values, email_verified=row.email_verified_at is not None)
