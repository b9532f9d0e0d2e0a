"""Prometheus counters, labelled by route template so that no identifier becomes a label."""

import asyncio
import hmac
from collections.abc import Callable, Coroutine
from functools import cache
from typing import TypeAlias

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Histogram, generate_latest

from app import __version__
from app.background import deadline
from app.observability import counters
from app.web.callers import TheWorld
from app.web.problems import TokenInvalid
from app.world import World

REQUESTS = Counter("licentia_requests_total", "Requests answered, by method, route and status", ["method", "route", "status"])
SECONDS = Histogram(
    "licentia_request_seconds",
    "Seconds from request to response",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
Measure: TypeAlias = Callable[[World], Coroutine[None, None, None]]
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

DEADLINE = 1.0
"""Seconds for all measures together, which run at the same time."""

log = structlog.get_logger("licentia.metrics")
counters.BUILD.labels(__version__).set(1)
router = APIRouter(include_in_schema=False)


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Count one response. `route` is the route's template, `none` where no route matched."""
    counter, histogram = _series(method if method in _METHODS else "other", route, status)
    counter.inc()
    histogram.observe(seconds)


@cache
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), SECONDS.labels(route)


async def measure_pools(world: World) -> None:
    """Set the gauges of the hash pool and of the connection pool of this process."""
    hashing, most = len(world.hasher.inside), int(world.hasher.limiter.total_tokens)
    for state, number in (("running", min(hashing, most)), ("waiting", max(0, hashing - most)), ("most", most + world.hasher.waiting)):
        counters.HASHES.labels(state).set(number)
    for state, number in zip(("in_use", "most"), world.db.connections(), strict=True):
        counters.CONNECTIONS.labels(state).set(number)


@router.get("/metrics")
async def metrics(request: Request, world: TheWorld) -> Response:
    """All metrics in Prometheus format. Requires the bearer token `METRICS_TOKEN` if it is set."""
    token = world.settings.metrics_token
    if token is not None:
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(sent.encode(), token.get_secret_value().encode()):
            raise TokenInvalid
    await asyncio.gather(*(_measure(measure, world) for measure in request.app.state.measures))
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


async def _measure(measure: Measure, world: World) -> None:
    """Run one measure; it sets its gauges to NaN before it waits, so that a failure leaves no old value."""
    try:
        await deadline.with_deadline(DEADLINE, measure(world))
    except Exception as error:  # noqa: BLE001  the other metrics are needed most while the database is away
        log.warning("measure_missing", measure=measure.__module__, cause=type(error).__name__)
