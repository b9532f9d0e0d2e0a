"""Wire shapes of end users."""

from typing import Literal, Self
from uuid import UUID

from app.db.types import AnyRow
from app.web.shapes import Email, ExternalId, Flag, Instant, Locale, Metadata, Name, Shape, absent


class ProfileIn(Shape):
    email: Email
    email_verified: Flag = False
    display_name: Name | None = None
    locale: Locale | None = None
    external_id: ExternalId | None = None
    metadata: Metadata = {}


class UserPatch(Shape):
    email_verified: Flag = absent()
    display_name: Name | None = None
    locale: Locale | None = None
    external_id: ExternalId | None = None
    metadata: Metadata = absent()


class UserOut(Shape):
    id: UUID
    email: str
    email_verified: bool
    display_name: str | None
    locale: str | None
    external_id: str | None
    status: Literal["active", "suspended"]
    metadata: Metadata
    created_at: Instant

    @classmethod
    def of(cls, row: AnyRow) -> Self:
        told = {name: value for name, value in row._mapping.items() if name in cls.model_fields}
        return cls(**told, email_verified=row.email_verified_at is not None)
