"""Wire models of licenses that several packages use: the summary for end users and clients, seats and usage."""

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from app.licenses.rules import LicenseFacts
from app.web.fields import Features, Instant, WireModel

LicenseStatus = Literal["revoked", "suspended", "not_started", "expired", "in_grace", "active"]
Limit = int | Literal["unlimited"]


class SeatCount(WireModel):
    """Seats in use and their limit; `limit` is null where the policy has no seats.

    With `device_per_user` the limit is per user, and `used` counts the seats of the calling user, or of all users without a login.
    """

    used: int
    limit: Limit | None


class LicenseSummary(WireModel):
    """A license, as its user sees it. `starts_at` is null until the first activation starts it."""

    id: UUID
    product: str
    key_last4: str
    status: LicenseStatus
    starts_at: Instant | None
    expires_at: Instant | None
    grace_until: Instant | None
    features: Features
    seats: SeatCount

    @classmethod
    def of(cls, license: LicenseFacts, now: datetime) -> Self:
        return cls(**build_summary_fields(license, now))


def build_summary_fields(license: LicenseFacts, now: datetime) -> dict[str, Any]:
    """Return the fields of `LicenseSummary`."""
    return {
        "id": license.license_id,
        "product": license.product,
        "key_last4": license.key_last4,
        "status": license.status(now),
        "starts_at": license.starts_at,
        "expires_at": license.expires_at,
        "grace_until": license.grace_until,
        "features": license.features,
        "seats": SeatCount(used=license.seats_used, limit=license.seat_limit),
    }


class UsageOut(WireModel):
    """A meter in its current period. `resets_at` null: it never resets."""

    used: int
    limit: Limit
    remaining: Limit
    resets_at: Instant | None
