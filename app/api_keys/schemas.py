"""Wire models of operator keys."""

from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from app.base.durations import Duration
from app.web.fields import DurationText, Instant, InstantIn, Name, WireModel

LONGEST_OVERLAP = timedelta(days=30)

Scope = Literal[
    "*",
    "catalog:read", "catalog:write",
    "licenses:read", "licenses:write",
    "users:read", "users:write",
    "agreements:read", "agreements:write",
    "events:read", "events:write",
    "api_keys:read", "api_keys:write",
]  # fmt: skip


def _check_overlap(text: str) -> str:
    duration = Duration.parse(text)
    if duration.months * timedelta(days=31) + duration.exact > LONGEST_OVERLAP:
        raise ValueError("must be at most 30 days")
    return text


class ApiKeyIn(WireModel):
    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=16)]
    expires_at: InstantIn | None = None


class RotationIn(WireModel):
    """`overlap`: how long the old key stays valid, such as PT24H; at most 30 days."""

    overlap: Annotated[DurationText, AfterValidator(_check_overlap)] = "PT24H"


class ApiKeyOut(WireModel):
    """`replaced_by`: the key that replaced it in a rotation. `last_used_at`: accurate to one hour."""

    id: UUID
    name: str
    scopes: list[str]
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None
    replaced_by: UUID | None
    last_used_at: Instant | None


class ApiKeyCreated(ApiKeyOut):
    """`key`: the key itself, returned only here."""

    key: str
