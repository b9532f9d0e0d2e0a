"""The composition root: settings to world to application. The only place that knows every room."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

import app.access.routes
import app.agreements.routes
import app.api_keys.guard
import app.api_keys.routes
import app.catalog.routes
import app.licenses.activation_routes
import app.licenses.guard
import app.licenses.lifecycle_routes
import app.licenses.me_routes
import app.licenses.routes
import app.licenses.use_routes
import app.login.account_routes
import app.login.guard
import app.login.routes
import app.signing_keys.problems
import app.signing_keys.routes
import app.support.routes
import app.users.routes
import app.webhooks.routes
from app import __version__
from app.agreements import sealing
from app.base import logs
from app.base.settings import Settings
from app.login.pacing import keep_pace
from app.mail import runner as mail
from app.models import METADATA
from app.signing_keys.rotation import check_sealed
from app.signing_keys.service import WrongKeys, signer
from app.web import door, errors, health, metrics, openapi, routing
from app.web.callers import Doormen
from app.webhooks import runner as webhooks
from app.world import World

log = structlog.get_logger("licentia")

ROUTERS = (
    app.access.routes.router,
    app.licenses.use_routes.router,
    app.licenses.activation_routes.router,
    app.licenses.routes.router,
    app.licenses.lifecycle_routes.router,
    app.licenses.me_routes.router,
    app.login.routes.router,
    app.login.account_routes.router,
    app.agreements.routes.router,
    app.catalog.routes.router,
    app.users.routes.router,
    app.support.routes.router,
    app.api_keys.routes.router,
    app.webhooks.routes.router,
    app.signing_keys.routes.router,
    health.router,
    metrics.router,
)
DOORMEN = Doormen(
    readers={
        "op_": app.api_keys.guard.operator,
        "act_": app.licenses.guard.device,
        "lgn_": app.login.guard.unfinished,
        "eyJ": app.login.guard.token_holder,
    },
    subject=app.login.guard.subject,
)
ABOUT = "May this person use this product on this device, now? Licenses, seats, login, agreements, and the decision that joins them."


@asynccontextmanager
async def _life(api: FastAPI) -> AsyncIterator[None]:
    world: World = api.state.world
    try:
        await signer(world)
        await check_sealed(world, METADATA)
        await keep_pace(world)
    except WrongKeys:
        raise
    except Exception as error:  # noqa: BLE001  not migrated or not reachable yet: /readyz says so, and the first call tries again
        log.warning("not_ready", cause=type(error).__name__)
    async with mail.running(world), sealing.running(world), webhooks.running(world):
        yield
    await world.db.close()


def build_app(world: World) -> FastAPI:
    """The application over this world."""
    settings = world.settings
    api = FastAPI(
        title="Licentia",
        version=__version__,
        description=ABOUT,
        lifespan=_life,
        strict_content_type=False,
        docs_url="/docs" if settings.docs else None,
        openapi_url="/openapi.json" if settings.docs else None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
        },  # asked of the environment on each request; its SDK is not among what we ship
        middleware=_middleware(settings, partial(_fresh_id, world)),
    )
    api.state.world = world
    api.state.doormen = DOORMEN
    api.state.warm_up = signer
    every = [route for router in ROUTERS for route in router.routes]
    api.router.routes.insert(0, routing.Signpost(every))
    api.router.routes.extend(every)  # one flat table: nested routers are matched one by one, at a cost on each request
    errors.install(api)
    api.openapi = partial(openapi.document, api)  # type: ignore[method-assign]
    return api


def _fresh_id(world: World) -> str:
    return world.entropy.identifier().hex


def _middleware(settings: Settings, fresh_id: Callable[[], str]) -> list[Middleware]:
    layers: list[Middleware] = [Middleware(door.Door, settings, fresh_id)]
    if settings.cors_origins:
        allowed = ["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"]
        layers.append(Middleware(CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=allowed))
    return layers


def create_app() -> FastAPI:
    """For an ASGI server's factory option: settings from the environment."""
    settings = Settings.load()
    logs.configure(settings)
    return build_app(World.of(settings))
