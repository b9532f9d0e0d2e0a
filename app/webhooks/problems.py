from app.base.problems import Kind, Problem


class WebhookNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "webhook_not_found"
    title = "There is no such webhook."


class DeliveryNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "webhook_delivery_not_found"
    title = "There is no such delivery of this webhook."


class WebhookLimitReached(Problem):
    kind = Kind.CONFLICT
    code = "webhook_limit_reached"
    title = "There are as many webhooks as there may be."


class WebhookDisabled(Problem):
    kind = Kind.CONFLICT
    code = "webhook_disabled"
    title = "The webhook is disabled."


class WebhookChanged(Problem):
    kind = Kind.CONFLICT
    code = "webhook_changed"
    title = "The webhook was changed at the same moment; look at it again."


class RotationUnderWay(Problem):
    kind = Kind.CONFLICT
    code = "webhook_rotation_under_way"
    title = "The secret before the present one is still good until `previous_until`; with `overlap` null both are void at once."


class TargetRefused(Problem):
    kind = Kind.INVALID
    code = "webhook_target_refused"
    title = "Nothing is sent to this address."
