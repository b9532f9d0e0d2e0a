"""`/v1/webhooks`"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response

from app.web.callers import Operator, RequireScope, TheWorld
from app.web.fields import Page
from app.web.paging import PageWindow, page_window
from app.web.problems import ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router
from app.webhooks import deliveries, service
from app.webhooks.deliveries import EventRange
from app.webhooks.models import DeliveryState
from app.webhooks.problems import (
    DeliveryNotFound,
    RotationUnderWay,
    TargetRefused,
    WebhookChanged,
    WebhookDisabled,
    WebhookLimitReached,
    WebhookNotFound,
)
from app.webhooks.schemas import (
    DeliveryOut,
    ReplayIn,
    ReplayOut,
    RotateIn,
    StateName,
    WebhookIn,
    WebhookOut,
    WebhookPatch,
    WebhookWithSecret,
)

router = new_router("events")
Reader = Annotated[Operator, Depends(RequireScope("events:read"))]
Writer = Annotated[Operator, Depends(RequireScope("events:write"))]
Window = Annotated[PageWindow, Depends(page_window)]


@router.post("/v1/webhooks", status_code=201, responses=refuses(ScopeMissing, WebhookLimitReached, TargetRefused))
async def create_webhook(world: TheWorld, operator: Writer, body: WebhookIn, response: Response) -> WebhookWithSecret:
    """Send future events of the given types to a URL. Requests are signed with the secret, which is returned only once."""
    row, secret = await service.create_endpoint(world, operator.actor, body.model_dump())
    response.headers["Location"] = f"/v1/webhooks/{row.id}"
    return WebhookWithSecret.from_row(row, secret=secret)


@router.get("/v1/webhooks", responses=refuses(ScopeMissing))
async def list_webhooks(world: TheWorld, operator: Reader, window: Window) -> Page[WebhookOut]:
    """List webhooks, newest first."""
    rows, cursor = await service.list_endpoints(world, window)
    return Page(data=[WebhookOut.from_row(row) for row in rows], next_cursor=cursor)


@router.get("/v1/webhooks/{webhook_id}", responses=refuses(ScopeMissing, WebhookNotFound))
async def get_webhook(world: TheWorld, operator: Reader, webhook_id: UUID) -> WebhookOut:
    """Return a webhook, without its secret."""
    return WebhookOut.from_row(await service.get_endpoint(world, webhook_id))


@router.patch("/v1/webhooks/{webhook_id}", responses=refuses(ScopeMissing, WebhookNotFound, TargetRefused))
async def change_webhook(world: TheWorld, operator: Writer, webhook_id: UUID, body: WebhookPatch) -> WebhookOut:
    """Change, enable or disable a webhook.

    When it is enabled or gets another URL, pending deliveries are sent at once. Events that occur while it is disabled are not collected;
    replay them.
    """
    return WebhookOut.from_row(await service.change_endpoint(world, operator.actor, webhook_id, body.model_dump(exclude_unset=True)))


@router.delete("/v1/webhooks/{webhook_id}", status_code=204, responses=refuses(ScopeMissing, WebhookNotFound))
async def delete_webhook(world: TheWorld, operator: Writer, webhook_id: UUID) -> None:
    """Delete a webhook and all of its deliveries."""
    await service.delete_endpoint(world, operator.actor, webhook_id)


@router.post(
    "/v1/webhooks/{webhook_id}/rotate-secret",
    summary="Rotate Webhook Secret",
    responses=refuses(ScopeMissing, WebhookNotFound, WebhookChanged, RotationUnderWay),
)
async def rotate_secret(world: TheWorld, operator: Writer, webhook_id: UUID, body: RotateIn | None = None) -> WebhookWithSecret:
    """Create a new secret, which is returned only once.

    For `overlap` (one day by default) requests are signed with both secrets; until then only a rotation with `overlap` null is accepted,
    which makes both earlier secrets invalid.
    """
    row, secret = await service.rotate_secret(world, operator.actor, webhook_id, (body or RotateIn()).overlap)
    return WebhookWithSecret.from_row(row, secret=secret)


@router.post("/v1/webhooks/{webhook_id}/test", status_code=202, responses=refuses(ScopeMissing, WebhookNotFound, WebhookDisabled))
async def test_webhook(world: TheWorld, operator: Writer, webhook_id: UUID) -> DeliveryOut:
    """Send one `webhook.test` event. Get the delivery afterwards to see the result."""
    return DeliveryOut.from_row(await deliveries.send_test(world, operator.actor, webhook_id))


@router.post("/v1/webhooks/{webhook_id}/replay", status_code=202, responses=refuses(ScopeMissing, WebhookNotFound, WebhookDisabled))
async def replay_events(world: TheWorld, operator: Writer, webhook_id: UUID, body: ReplayIn) -> ReplayOut:
    """Deliver past events again, including those never delivered: up to 1000 in one call, oldest first."""
    count, last = await deliveries.replay_events(world, operator.actor, webhook_id, EventRange(**body.model_dump()))
    return ReplayOut(replayed=count, next_since=last.at if last else None, next_after=last.id if last else None)


@router.get("/v1/webhooks/{webhook_id}/deliveries", responses=refuses(ScopeMissing, WebhookNotFound))
async def list_deliveries(
    world: TheWorld, operator: Reader, webhook_id: UUID, window: Window, state: Annotated[StateName | None, Query()] = None
) -> Page[DeliveryOut]:
    """List deliveries, newest events first."""
    rows, cursor = await deliveries.list_deliveries(world, webhook_id, window, DeliveryState(state) if state else None)
    return Page(data=[DeliveryOut.from_row(row) for row in rows], next_cursor=cursor)


@router.get("/v1/webhooks/{webhook_id}/deliveries/{delivery_id}", responses=refuses(ScopeMissing, WebhookNotFound, DeliveryNotFound))
async def get_delivery(world: TheWorld, operator: Reader, webhook_id: UUID, delivery_id: UUID) -> DeliveryOut:
    """Return a delivery with the result of its latest attempt."""
    return DeliveryOut.from_row(await deliveries.get_delivery(world, webhook_id, delivery_id))


@router.post(
    "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    responses=refuses(ScopeMissing, WebhookNotFound, DeliveryNotFound, WebhookDisabled),
)
async def replay_delivery(world: TheWorld, operator: Writer, webhook_id: UUID, delivery_id: UUID) -> DeliveryOut:
    """Send one delivery again, in any state. A delivery that waits for its next attempt is sent now."""
    return DeliveryOut.from_row(await deliveries.replay_delivery(world, operator.actor, webhook_id, delivery_id))
