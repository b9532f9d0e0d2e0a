"""Wire shapes of end users."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field

from app.db.types import AnyRow
from app.web.fields import Email, ExternalId, Flag, Instant, Locale, Metadata, Name, Region, WireModel, omittable

Timezone = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$")]
"""A name of the IANA time zone database, such as `Europe/Oslo`."""
AgeBandName = Literal["adult", "minor", "unknown"]


class Preferences(WireModel):
    """How an agreement is best shown to this person."""

    agreement_format: Literal["html", "text", "large_print"] | None = None
    reduced_motion: Flag | None = None
    screen_reader: Flag | None = None

    def stored(self) -> dict[str, str | bool]:
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
    """What is one's own to change. `preferences` are replaced as a whole; `age_band` goes up only: unknown, minor, adult."""

    display_name: Name | None = None
    locale: Locale | None = None
    region: Region | None = None
    timezone: Timezone | None = None
    age_band: AgeBandName = omittable()
    preferences: Preferences = omittable()

    def changes(self) -> dict[str, Any]:
        """What was sent, and only that."""
        told = self.model_dump(exclude_unset=True)
        return told | {"preferences": self.preferences.stored()} if "preferences" in told else told


class UserPatch(MePatch):
    email_verified: Flag = omittable()
    external_id: ExternalId | None = None
    metadata: Metadata = omittable()


class UserOut(WireModel):
    """Of an erased user all that names anybody is gone; `email` is then a placeholder that no mail reaches."""

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
        told = {name: value for name, value in row._mapping.items() if name in cls.model_fields}
        return cls(**told, email_verified=row.email_verified_at is not None)
