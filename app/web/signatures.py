"""Reads the signature of an endpoint or a dependency: what is injected, and which query parameters there are."""

from collections.abc import Callable, Iterator
from inspect import signature
from typing import Annotated, Any, TypeAlias, TypeVar, get_args, get_origin

from fastapi import params
from pydantic import BaseModel

Function: TypeAlias = Callable[..., Any]
Marker = TypeVar("Marker")


def annotations(function: Function) -> dict[str, Any]:
    """The annotation of each parameter, by name."""
    return {name: parameter.annotation for name, parameter in signature(function, eval_str=True).parameters.items()}


def find_marker(annotation: Any, kind: type[Marker]) -> Marker | None:
    """The `Depends`, `Query` or other marker in an `Annotated` type; None if there is none of this kind."""
    markers = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((marker for marker in markers if isinstance(marker, kind)), None)


def dependencies(function: Function) -> Iterator[Function]:
    """The functions whose results are injected as `Annotated[…, Depends(function)]`."""
    for annotation in annotations(function).values():
        marker = find_marker(annotation, params.Depends)
        if marker is not None and marker.dependency is not None:
            yield marker.dependency


def query_names(function: Function) -> set[str]:
    """The query parameters of an endpoint and of its dependencies: `Annotated[…, Query()]`, of one value or of a model of several."""
    names: set[str] = set()
    for name, annotation in annotations(function).items():
        if (marker := find_marker(annotation, params.Query)) is not None:
            model = get_args(annotation)[0]
            is_model = isinstance(model, type) and issubclass(model, BaseModel)
            names |= set(model.model_fields) if is_model else {str(marker.alias or name)}
    return names.union(*(query_names(dependency) for dependency in dependencies(function)))
