"""The query parameters that a route accepts are those of its documentation."""

import pytest
from fastapi.routing import APIRoute

from app.main import ROUTERS
from app.web.signatures import query_names

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def documented(route: APIRoute) -> set[str]:
    """The query parameters that FastAPI has found, those of dependencies included."""
    names, dependants = set[str](), [route.dependant]
    for dependant in dependants:
        names |= {field.alias for field in dependant.query_params}
        dependants += dependant.dependencies
    return names


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.methods)} {route.path}")
def test_every_documented_query_parameter_is_accepted(route: APIRoute) -> None:
    """A parameter without `Query()` would be documented, but refused as unknown."""
    assert query_names(route.endpoint) == documented(route)
