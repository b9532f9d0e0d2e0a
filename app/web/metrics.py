"""Prometheus counters, labelled by route template so that no identifier becomes a label."""

from functools import cache

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Histogram, generate_latest

REQUESTS = Counter("licentia_requests_total", "Answered requests", ["method", "route", "status"])
SECONDS = Histogram(
    "licentia_request_seconds", "Time to answer", ["route"], buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

router = APIRouter(include_in_schema=False)


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answer. `route` is the template, `none` where no route matched."""
    counter, histogram = _series(method if method in _METHODS else "other", route, status)
    counter.inc()
    histogram.observe(seconds)


@cache
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), SECONDS.labels(route)


@router.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
