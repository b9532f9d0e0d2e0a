"""The route class reads the same query parameters from a signature as FastAPI does."""

from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.web.signatures import query_names


def test_every_documented_query_parameter_is_accepted(app: FastAPI) -> None:
    """A parameter that the check does not know would be refused with 422."""
    paths = app.openapi()["paths"]
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                parameters = paths[route.path_format][method.lower()].get("parameters", ())
                documented = {each["name"] for each in parameters if each["in"] == "query"}
                assert query_names(route.endpoint) == documented, route.path
