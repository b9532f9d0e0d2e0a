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


def _overlap(text: str) -> str:
    it = Duration.parse(text)
    if it.months * timedelta(days=31) + it.exact > LONGEST_OVERLAP:
        raise ValueError("wants 30 days at most")
    return text


class ApiKeyIn(WireModel):
    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=16)]
    expires_at: InstantIn | None = None


class RotationIn(WireModel):
    """`overlap`: for how long the key of before goes on beside the new one; 30 days at most."""

    overlap: Annotated[DurationText, AfterValidator(_overlap)] = "PT24H"


class ApiKeyOut(WireModel):
    """`replaced_by`: the key that a rotation put in its place. `last_used_at` is told to the hour."""

    id: UUID
    name: str
    scopes: list[str]
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None
    replaced_by: UUID | None
    last_used_at: Instant | None


class ApiKeyCreated(ApiKeyOut):
    """`key` is shown this once."""

    key: str
