"""The composition root: settings to world to application. The only place that knows every room."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
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
import app.login.device_routes
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
from app.base.beside import together
from app.base.settings import Settings
from app.login.pacing import keep_pace
from app.mail import outbox
from app.mail import runner as mail
from app.models import METADATA
from app.signing_keys.sealing_keys import check_sealed
from app.signing_keys.service import WrongKeys, signer
from app.support import housekeeping
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
    app.login.device_routes.router,
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
MEASURES = (metrics.machinery, outbox.measured)
"""What is looked at when the figures are asked for, rather than counted as it happens."""
ABOUT = "May this person use this product on this device, now? Licenses, seats, login, agreements, and the decision that joins them."


@asynccontextmanager
async def _life(api: FastAPI) -> AsyncIterator[None]:
    world: World = api.state.world
    for name, sentence in world.settings.warnings():
        log.warning("configuration", variable=name, told=sentence)
    try:
        await signer(world)
        await check_sealed(world, METADATA)
        await keep_pace(world)
    except WrongKeys:
        raise
    except Exception as error:  # noqa: BLE001  not migrated or not reachable yet: /readyz says so, and the first call tries again
        log.warning("not_ready", cause=type(error).__name__)
    async with together(mail.running(world), webhooks.running(world), sealing.running(world), housekeeping.running(world)):
        yield
    if (tracing := api.state.tracer_provider) is not None:
        await tracing.ended()
    await world.db.close()


def build_app(world: World) -> FastAPI:
    """The application over this world."""
    settings = world.settings
    telemetry = _telemetry(settings)
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
        telemetry=telemetry,
        middleware=_middleware(settings, partial(_fresh_id, world)),
    )
    api.state.world = world
    api.state.doormen = DOORMEN
    api.state.warm_up = signer
    api.state.measures = MEASURES
    api.state.tracer_provider = telemetry.get("tracer_provider")
    every = [route for router in ROUTERS for route in router.routes]
    api.router.routes.insert(0, routing.Signpost(every))
    api.router.routes.extend(every)  # one flat table: nested routers are matched one by one, at a cost on each request
    errors.install(api)
    api.openapi = partial(openapi.document, api)  # type: ignore[method-assign]
    return api


def _fresh_id(world: World) -> str:
    return world.entropy.identifier().hex


def _telemetry(settings: Settings) -> TelemetryConfig:
    """A span for each request where that is configured; else nothing, whatever else the environment says."""
    told: TelemetryConfig = {"metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}
    if settings.traces == "off":
        return {**told, "tracing": False}
    from app.base import spans  # noqa: PLC0415  an extra, and not cheap

    return {**told, "tracing": True, "tracer_provider": spans.Tracing(__version__, door.told), "exclude": door.quiet}


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
