"""The problems of webhooks."""

from app.base.problems import Kind, Problem


class WebhookNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "webhook_not_found"
    title = "The webhook does not exist."


class DeliveryNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "webhook_delivery_not_found"
    title = "The delivery does not exist for this webhook."


class WebhookLimitReached(Problem):
    kind = Kind.CONFLICT
    code = "webhook_limit_reached"
    title = "The maximum number of webhooks is reached; delete one first."


class WebhookDisabled(Problem):
    kind = Kind.CONFLICT
    code = "webhook_disabled"
    title = "The webhook is disabled."


class WebhookChanged(Problem):
    kind = Kind.CONFLICT
    code = "webhook_changed"
    title = "Another request changed the webhook at the same time; read it, then repeat the change."


class RotationUnderWay(Problem):
    kind = Kind.CONFLICT
    code = "webhook_rotation_under_way"
    title = "The previous secret is valid until `previous_until`. Rotate with `overlap` null to invalidate both secrets at once."


class TargetRefused(Problem):
    kind = Kind.INVALID
    code = "webhook_target_refused"
    title = "The URL is not allowed for webhooks."
