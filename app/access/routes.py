"""`POST /v1/access`"""

from app.access import service
from app.access.schemas import AccessIn, AccessOut
from app.catalog.problems import ProductNotFound
from app.web.callers import ActivatedDevice, DecisionCaller, EndUser, TheOrigin, TheWorld
from app.web.pipeline.fast_route import hot
from app.web.problems import SubjectTokenRequired, TooManyAttempts
from app.web.routing import VERDICT, refuses
from app.web.routing import router as new_router

router = new_router("access")


@router.post(
    "/v1/access", summary="Decide Access", openapi_extra=VERDICT, responses=refuses(SubjectTokenRequired, ProductNotFound, TooManyAttempts)
)
@hot
async def decide(world: TheWorld, caller: DecisionCaller, origin: TheOrigin, body: AccessIn) -> AccessOut:
    """Decide whether this person may use this product on this device now.

    The response lists everything that is missing, each with the next action.
    """
    end_user = caller if isinstance(caller, EndUser) else None
    device = caller if isinstance(caller, ActivatedDevice) else None
    request = body.to_request()
    return AccessOut.of(await service.decide(world, origin.ip, end_user, device, request), request)
