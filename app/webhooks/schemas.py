"""Wire models of webhooks and their deliveries."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from app.db.types import AnyRow
from app.web.fields import DurationText, EventType, Flag, Instant, InstantIn, Line, WireModel, clean_text, omittable
from app.webhooks.rules import NOT_FIRST

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
    """A webhook.

    `disabled_reason`: `operator`, `gone` (the receiver answered 410) or `failing` (for days). `failing_since`: the first failure since the
    last success. `resume_at`: the end of the pause that the receiver requested (`Retry-After`); a replay or a test ends it.
    `previous_until`: until when requests are also signed with the previous secret.
    """

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
    def from_row(cls, row: AnyRow, **more: Any) -> "WebhookOut":
        values = {name: getattr(row, name) for name in WebhookOut.model_fields if name != "enabled"}
        return cls(**values, enabled=row.disabled_at is None, **more)


class WebhookWithSecret(WebhookOut):
    """A webhook with its new `secret` (`whsec_…`), which is returned only once. Any Standard Webhooks library accepts it as it is."""

    secret: str

    @classmethod
    def from_row(cls, row: AnyRow, **more: Any) -> "WebhookWithSecret":
        return cls(**WebhookOut.from_row(row).model_dump(), **more)


class RotateIn(WireModel):
    """`overlap`: how long to also sign with the previous secret, such as P1D, at most 30 days. Null: not at all (it leaked)."""

    overlap: DurationText | None = "PT24H"


class DeliveryOut(WireModel):
    """A delivery. `id` is the event's id, which the receiver gets in the header `webhook-id`.

    `next_attempt_at` is null while an earlier delivery of the same subject is pending. `last_*` describe the latest attempt.
    """

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
    def from_row(cls, row: AnyRow) -> "DeliveryOut":
        is_next = row.state == "pending" and row.due_at < NOT_FIRST
        renamed = {"id": row.event_id, "next_attempt_at": row.due_at if is_next else None}
        return cls(**renamed, **{name: getattr(row, name) for name in cls.model_fields if name not in renamed})


class ReplayIn(WireModel):
    """The events to replay: `since <= at < until`.

    Without `until`, until now; without `types`, all types of the webhook. `after`: the `next_after` of the previous call.
    """

    since: InstantIn
    until: InstantIn | None = None
    after: UUID | None = None
    types: EventTypes | None = None


class ReplayOut(WireModel):
    """`replayed` counts the events. `next_since` and `next_after` are for the next call, if there are more events."""

    replayed: int
    next_since: Instant | None
    next_after: UUID | None
