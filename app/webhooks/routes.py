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
from app.webhooks.deliveries import Past
from app.webhooks.models import State
from app.webhooks.problems import (
    DeliveryNotFound,
    RotationUnderWay,
    TargetRefused,
    WebhookChanged,
    WebhookDisabled,
    WebhookLimitReached,
    WebhookNotFound,
)
from app.webhooks.schemas import DeliveryOut, ReplayIn, ReplayOut, RotateIn, StateName, WebhookIn, WebhookMade, WebhookOut, WebhookPatch

router = new_router("events")
Reads = Annotated[Operator, Depends(RequireScope("events:read"))]
Writes = Annotated[Operator, Depends(RequireScope("events:write"))]
Wanted = Annotated[PageWindow, Depends(page_window)]


@router.post("/v1/webhooks", status_code=201, responses=refuses(ScopeMissing, WebhookLimitReached, TargetRefused))
async def create(world: TheWorld, operator: Writes, body: WebhookIn, response: Response) -> WebhookMade:
    """Have events of the chosen types posted to an address, from now on, signed with the secret that is shown this once."""
    row, secret = await service.create(world, operator.actor, body.model_dump())
    response.headers["Location"] = f"/v1/webhooks/{row.id}"
    return WebhookMade.told(row, secret=secret)


@router.get("/v1/webhooks", responses=refuses(ScopeMissing))
async def listed(world: TheWorld, operator: Reads, wanted: Wanted) -> Page[WebhookOut]:
    rows, cursor = await service.endpoints(world, wanted)
    return Page(data=[WebhookOut.told(row) for row in rows], next_cursor=cursor)


@router.get("/v1/webhooks/{webhook_id}", responses=refuses(ScopeMissing, WebhookNotFound))
async def get(world: TheWorld, operator: Reads, webhook_id: UUID) -> WebhookOut:
    return WebhookOut.told(await service.endpoint(world, webhook_id))


@router.patch("/v1/webhooks/{webhook_id}", responses=refuses(ScopeMissing, WebhookNotFound, TargetRefused))
async def change(world: TheWorld, operator: Writes, webhook_id: UUID, body: WebhookPatch) -> WebhookOut:
    """Enabled again, or at another address, it gets what is pending at once. What happens while it is disabled is not kept for it:
    replay that."""
    return WebhookOut.told(await service.change(world, operator.actor, webhook_id, body.model_dump(exclude_unset=True)))


@router.delete("/v1/webhooks/{webhook_id}", status_code=204, responses=refuses(ScopeMissing, WebhookNotFound))
async def delete(world: TheWorld, operator: Writes, webhook_id: UUID) -> None:
    """With all of its deliveries."""
    await service.remove(world, operator.actor, webhook_id)


@router.post("/v1/webhooks/{webhook_id}/rotate-secret", responses=refuses(ScopeMissing, WebhookNotFound, WebhookChanged, RotationUnderWay))
async def rotate_secret(world: TheWorld, operator: Writes, webhook_id: UUID, body: RotateIn | None = None) -> WebhookMade:
    """A new secret, shown this once. For `overlap` (a day unless said) everything carries a signature by each of the two; meanwhile there
    is no third, but with `overlap` null one secret alone is good from now on."""
    row, secret = await service.rotate_secret(world, operator.actor, webhook_id, (body or RotateIn()).overlap)
    return WebhookMade.told(row, secret=secret)


@router.post("/v1/webhooks/{webhook_id}/test", status_code=202, responses=refuses(ScopeMissing, WebhookNotFound, WebhookDisabled))
async def test(world: TheWorld, operator: Writes, webhook_id: UUID) -> DeliveryOut:
    """Send it a `webhook.test`, once; look at the delivery to see how it went."""
    return DeliveryOut.told(await deliveries.test(world, operator.actor, webhook_id))


@router.post("/v1/webhooks/{webhook_id}/replay", status_code=202, responses=refuses(ScopeMissing, WebhookNotFound, WebhookDisabled))
async def replay(world: TheWorld, operator: Writes, webhook_id: UUID, body: ReplayIn) -> ReplayOut:
    """Deliver past events again, and those it never got: a thousand in one call, the oldest first."""
    count, last = await deliveries.replay(world, operator.actor, webhook_id, Past(**body.model_dump()))
    return ReplayOut(replayed=count, next_since=last.at if last else None, next_after=last.id if last else None)


@router.get("/v1/webhooks/{webhook_id}/deliveries", responses=refuses(ScopeMissing, WebhookNotFound))
async def list_deliveries(
    world: TheWorld, operator: Reads, webhook_id: UUID, wanted: Wanted, state: Annotated[StateName | None, Query()] = None
) -> Page[DeliveryOut]:
    rows, cursor = await deliveries.deliveries(world, webhook_id, wanted, State(state) if state else None)
    return Page(data=[DeliveryOut.told(row) for row in rows], next_cursor=cursor)


@router.get("/v1/webhooks/{webhook_id}/deliveries/{delivery_id}", responses=refuses(ScopeMissing, WebhookNotFound, DeliveryNotFound))
async def get_delivery(world: TheWorld, operator: Reads, webhook_id: UUID, delivery_id: UUID) -> DeliveryOut:
    return DeliveryOut.told(await deliveries.delivery(world, webhook_id, delivery_id))


@router.post(
    "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    responses=refuses(ScopeMissing, WebhookNotFound, DeliveryNotFound, WebhookDisabled),
)
async def replay_one(world: TheWorld, operator: Writes, webhook_id: UUID, delivery_id: UUID) -> DeliveryOut:
    """Make one delivery again, whatever became of it; one that waits for its next try has it now."""
    return DeliveryOut.told(await deliveries.again(world, operator.actor, webhook_id, delivery_id))
