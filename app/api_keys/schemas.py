from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.web.shapes import Instant, InstantIn, Name, Shape

Scope = Literal[
    "*",
    "catalog:read", "catalog:write",
    "licenses:read", "licenses:write",
    "users:read", "users:write",
    "agreements:read", "agreements:write",
    "events:read", "events:write",
    "api_keys:read", "api_keys:write",
]  # fmt: skip


class ApiKeyIn(Shape):
    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=16)]
    expires_at: InstantIn | None = None


class ApiKeyOut(Shape):
    id: UUID
    name: str
    scopes: list[str]
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None


class ApiKeyMade(ApiKeyOut):
    """`key` is shown this once."""

    key: str
