"""Wire shapes of licenses as operators issue and see them, and of the face that a license shows its holder."""

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from app.licenses.rules import LicenseFacts
from app.web.fields import (
    Features,
    Instant,
    WireModel,
)

Status = Literal["revoked", "suspended", "not_started", "expired", "in_grace", "active"]
Limit = int | Literal["unlimited"]


class Seats(WireModel):
    """`limit` is null where the policy has no seats. With `device_per_user` it is each user's own, and `used` is the asking user's;
    where nobody in particular asks, `used` is the sum of all."""

    used: int
    limit: Limit | None


class LicenseSummary(WireModel):
    """A license as its holder sees it. `starts_at` is null while the clock waits for the first activation."""

    id: UUID
    product: str
    key_last4: str
    status: Status
    starts_at: Instant | None
    expires_at: Instant | None
    grace_until: Instant | None
    features: Features
    seats: Seats

    @classmethod
    def of(cls, it: LicenseFacts, now: datetime) -> Self:
        return cls(**face(it, now))


def face(it: LicenseFacts, now: datetime) -> dict[str, Any]:
    return {
        "id": it.license_id,
        "product": it.product,
        "key_last4": it.key_last4,
        "status": it.status(now),
        "starts_at": it.starts_at,
        "expires_at": it.expires_at,
        "grace_until": it.grace_until,
        "features": it.features,
        "seats": Seats(used=it.seats_used, limit=it.seat_limit),
    }


class Usage(WireModel):
    """A meter in its current period. `resets_at` null: it never does."""

    used: int
    limit: Limit
    remaining: Limit
    resets_at: Instant | None
