"""Wire shapes of webhooks and their deliveries."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from app.db.types import AnyRow
from app.web.fields import DurationText, EventType, Flag, Instant, InstantIn, Line, WireModel, clean_text, omittable
from app.webhooks.rules import BEHIND

StateName = Literal["pending", "delivered", "failed"]
TargetUrl = Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(clean_text)]


EventTypes = Annotated[list[EventType], Field(min_length=1, max_length=100)]


class WebhookIn(WireModel):
    url: TargetUrl
    types: EventTypes
    description: Line | None = None


class WebhookPatch(WireModel):
    url: TargetUrl = omittable()
    types: EventTypes = omittable()
    description: Line | None = None
    enabled: Flag = omittable()


class WebhookOut(WireModel):
    """`disabled_reason`: `operator`, `gone` (it answered 410) or `failing` (for days). `failing_since`: since when nothing succeeded.

    `resume_at`: until when the receiver wants to be left alone (`Retry-After`); a replay or a test ends that.
    `previous_until`: until when the secret before this one signs too."""

    id: UUID
    url: str
    types: list[str]
    description: str | None
    enabled: bool
    disabled_at: Instant | None
    disabled_reason: str | None
    failing_since: Instant | None
    resume_at: Instant | None
    previous_until: Instant | None
    created_at: Instant

    @classmethod
    def told(cls, row: AnyRow, **more: Any) -> "WebhookOut":
        shown = {name: getattr(row, name) for name in WebhookOut.model_fields if name != "enabled"}
        return cls(**shown, enabled=row.disabled_at is None, **more)


class WebhookMade(WebhookOut):
    """`secret` (`whsec_…`) is shown this once; it goes into the verifier of any Standard Webhooks library as it is."""

    secret: str

    @classmethod
    def told(cls, row: AnyRow, **more: Any) -> "WebhookMade":
        return cls(**WebhookOut.told(row).model_dump(), **more)


class RotateIn(WireModel):
    """`overlap`: for how long the secret of before signs beside the new one, 30 days at most; null: not at all (it leaked)."""

    overlap: DurationText | None = "PT24H"


class DeliveryOut(WireModel):
    """`id` is the event's, and the `webhook-id` that the receiver saw. `next_attempt_at` is null while another of its subject is before it.
    `last_*`: how the latest attempt went."""

    id: UUID
    type: str
    state: StateName
    attempts: int
    created_at: Instant
    next_attempt_at: Instant | None
    settled_at: Instant | None
    last_at: Instant | None
    last_status: int | None
    last_error: str | None
    last_ms: int | None
    last_excerpt: str | None

    @classmethod
    def told(cls, row: AnyRow) -> "DeliveryOut":
        renamed = {"id": row.event_id, "next_attempt_at": row.due_at if row.state == "pending" and row.due_at < BEHIND else None}
        return cls(**renamed, **{name: getattr(row, name) for name in cls.model_fields if name not in renamed})


class ReplayIn(WireModel):
    """`since <= at < until`; without `until`, until now; without `types`, all that the webhook listens to. `after`: the `next_after` of
    the call before."""

    since: InstantIn
    until: InstantIn | None = None
    after: UUID | None = None
    types: EventTypes | None = None


class ReplayOut(WireModel):
    """`next_since` and `next_after`: the `since` and `after` to go on with, where there were more than one call replays."""

    replayed: int
    next_since: Instant | None
    next_after: UUID | None
