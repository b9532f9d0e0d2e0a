"""Build the application from the world and the settings. The only module that imports the routes of every package."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

import app.access.routes
import app.agreements.acceptance.routes
import app.agreements.ledger.receipt_routes
import app.agreements.publishing.routes
import app.agreements.reporting.routes
import app.agreements.verification.routes
import app.api_keys.guard
import app.api_keys.routes
import app.audit.routes
import app.catalog.routes
import app.licenses.issuing.lifecycle_routes
import app.licenses.issuing.routes
import app.licenses.seats.guard
import app.licenses.seats.routes
import app.licenses.use.me_routes
import app.licenses.use.routes
import app.login.account.routes
import app.login.device_grant.routes
import app.login.me_routes
import app.login.operator_routes
import app.login.sessions.guard
import app.login.signing_in.passkey_routes
import app.login.signing_in.routes
import app.privacy.routes
import app.signing_keys.problems
import app.signing_keys.routes
import app.users.routes
import app.webhooks.routes
from app import __version__, housekeeping
from app.agreements.ledger import runner as sealing
from app.background.tasks import run_together
from app.config.settings import Settings
from app.login.factors.timing import refresh_timing
from app.mail import outbox
from app.mail import runner as mail
from app.models import METADATA
from app.observability import logs
from app.signing_keys.sealing_keys import check_sealed
from app.signing_keys.service import KeysMismatch, load_signer
from app.web import errors, routing
from app.web.callers import CallerRegistry
from app.web.contract import openapi
from app.web.pipeline import middleware
from app.web.probes import health, metrics
from app.webhooks.delivery import runner as webhooks
from app.world import World

log = structlog.get_logger("licentia")

ROUTERS = (
    app.access.routes.router,
    app.licenses.use.routes.router,
    app.licenses.seats.routes.router,
    app.licenses.issuing.routes.router,
    app.licenses.issuing.lifecycle_routes.router,
    app.licenses.use.me_routes.router,
    app.login.signing_in.routes.router,
    app.login.me_routes.router,
    app.login.signing_in.passkey_routes.router,
    app.login.operator_routes.router,
    app.login.account.routes.router,
    app.login.device_grant.routes.router,
    app.agreements.publishing.routes.router,
    app.agreements.acceptance.routes.router,
    app.agreements.reporting.routes.router,
    app.agreements.ledger.receipt_routes.router,
    app.agreements.verification.routes.router,
    app.catalog.routes.router,
    app.users.routes.router,
    app.privacy.routes.router,
    app.api_keys.routes.router,
    app.webhooks.routes.router,
    app.audit.routes.router,
    app.signing_keys.routes.router,
    health.router,
    metrics.router,
)
CALLERS = CallerRegistry(
    readers={
        "op_": app.api_keys.guard.authenticate_operator,
        "act_": app.licenses.seats.guard.read_activation_token,
        "lgn_": app.login.sessions.guard.read_login_handle,
        "eyJ": app.login.sessions.guard.read_end_user,
    },
    subject=app.login.sessions.guard.load_subject,
)
MEASURES = (metrics.measure_pools, outbox.measure_age)
"""Functions that update metrics when `/metrics` is requested."""
ABOUT = "Decides whether a person may use a product on a device now. Manages licenses, seats, login and agreements."


@asynccontextmanager
async def _run_lifespan(api: FastAPI) -> AsyncIterator[None]:
    world: World = api.state.world
    for name, sentence in world.settings.list_warnings():
        log.warning("configuration", variable=name, problem=sentence)
    try:
        await load_signer(world)
        await check_sealed(world, METADATA)
        await refresh_timing(world)
    except KeysMismatch:
        raise
    except Exception as error:  # noqa: BLE001  the database is not migrated or not reachable yet; the first request tries again
        log.warning("not_ready", cause=type(error).__name__)
    async with run_together(mail.run(world), webhooks.run(world), sealing.run(world), housekeeping.run(world)):
        yield
    if (tracing := api.state.tracer_provider) is not None:
        await tracing.flush_and_stop()
    await world.db.close()


def build_app(world: World) -> FastAPI:
    """Build the application over this world."""
    settings = world.settings
    telemetry = _configure_telemetry(settings)
    api = FastAPI(
        title="Licentia",
        version=__version__,
        description=ABOUT,
        lifespan=_run_lifespan,
        strict_content_type=False,
        docs_url="/docs" if settings.docs else None,
        openapi_url="/openapi.json" if settings.docs else None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=telemetry,
        middleware=_list_middleware(settings, partial(_new_request_id, world)),
    )
    api.state.world = world
    api.state.caller_registry = CALLERS
    api.state.warm_up = load_signer
    api.state.measures = MEASURES
    api.state.tracer_provider = telemetry.get("tracer_provider")
    routes = [route for router in ROUTERS for route in router.routes]
    api.router.routes.insert(0, routing.StaticRoutes(routes))
    api.router.routes.extend(routes)  # one flat list: FastAPI would match nested routers one by one on each request
    errors.add_error_handlers(api)
    api.openapi = partial(openapi.document, api)  # type: ignore[method-assign]
    return api


def _new_request_id(world: World) -> str:
    return world.entropy.identifier().hex


def _configure_telemetry(settings: Settings) -> TelemetryConfig:
    """Configure a span for each request if traces are on; otherwise no telemetry, even if OTEL variables are set."""
    options: TelemetryConfig = {"metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}
    if settings.traces == "off":
        return {**options, "tracing": False}
    from app.observability import tracing as spans  # noqa: PLC0415  an optional dependency, slow to import

    return {
        **options,
        "tracing": True,
        "tracer_provider": spans.MaskedTracerProvider(__version__, lambda _path: logs.MASK),
        "exclude": middleware.is_probe,
    }


def _list_middleware(settings: Settings, fresh_id: Callable[[], str]) -> list[Middleware]:
    layers: list[Middleware] = [Middleware(middleware.EdgeMiddleware, settings, fresh_id)]
    if settings.cors_origins:
        allowed = ["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"]
        layers.append(Middleware(CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=allowed))
    return layers


def create_app() -> FastAPI:
    """Build the application with the settings of the environment, for the factory option of ASGI servers."""
    settings = Settings.load()
    logs.configure_logging(settings)
    return build_app(World.of(settings))
