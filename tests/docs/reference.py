"""The generated pages below docs/reference: settings, problem codes, event types, scopes, metrics."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from difflib import unified_diff
from inspect import signature
from pathlib import Path
from typing import Any, get_args

from fastapi import FastAPI
from fastapi.params import Depends
from fastapi.routing import APIRoute
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric

import app.server.limits  # noqa: F401  declares metrics
from app.base.problems import ADVISORIES, DECLARED
from app.events.kinds import KINDS
from app.web.callers import RequireScope
from app.web.errors import STATUS
from tests.docs import variables
from tests.house.source import ROOT

FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- Generated from the code by `make openapi`; a test compares it. -->\n"


def settings(_: FastAPI) -> str:
    intro = "# Settings\n\nEnvironment variables with the prefix `LICENTIA_`. With the suffix `_FILE` the value is read from a file.\n"
    return f"{intro}How to use them: [Configuration](../operations/configuration.md).\n\n{variables.table()}"


def codes(_: FastAPI) -> str:
    """Every declared code of the application, with its status; codes of verdicts have none."""
    intro = "# Problem codes\n\nA refused request is answered with RFC 9457 problem details and one of these codes.\n"
    intro += "Codes without a status appear only as reasons or warnings inside a response.\n"
    rows = {code: (str(STATUS[problem.kind]), problem.title) for code, problem in DECLARED.items() if problem.__module__.startswith("app.")}
    rows |= {code: ("", title) for code, title in ADVISORIES.items()}
    lines = "".join(f'| <a id="{code}"></a>`{code}` | {rows[code][0]} | {rows[code][1]} |\n' for code in sorted(rows))
    return f"{intro}\n| Code | Status | Meaning |\n|---|---|---|\n{lines}"


def events(_: FastAPI) -> str:
    intro = "# Event types\n\nWhat `GET /v1/events` lists and webhooks send. A webhook may also name `license.*` or `*`.\n"
    lines = "".join(f"| `{kind}` | {KINDS[kind]} |\n" for kind in sorted(KINDS))
    return f"{intro}\n| Type | Recorded when |\n|---|---|\n{lines}"


def scopes(app: FastAPI) -> str:
    intro = (
        "# Scopes\n\nAn operator key has scopes such as `licenses:read`. Writing includes reading, and `*` includes everything.\n"
        "A call with another scope answers 403 `scope_missing`.\n"
    )
    calls: dict[str, list[str]] = defaultdict(list)
    for route in app.routes:
        if isinstance(route, APIRoute):
            for scope in _scopes_of(route.endpoint):
                calls[scope] += [f"`{method} {route.path}`" for method in sorted(route.methods or ())]
    lines = "".join(
        f"| `{scope}` | {' · '.join(sorted(set(calls[scope]), key=lambda call: call.split()[::-1]))} |\n" for scope in sorted(calls)
    )
    return f"{intro}\n| Scope | Calls |\n|---|---|\n{lines}"


def _scopes_of(endpoint: Callable[..., Any]) -> Iterator[str]:
    """The scopes that the parameters of a route's function require."""
    for parameter in signature(endpoint).parameters.values():
        for item in get_args(parameter.annotation)[1:]:
            if isinstance(item, Depends) and isinstance(item.dependency, RequireScope):
                yield item.dependency.scope


def metrics(_: FastAPI) -> str:
    intro = "# Metrics\n\nWhat `GET /metrics` reports. How to use them: [Observability](../operations/observability.md).\n"
    families = sorted((family for family in REGISTRY.collect() if family.name.startswith("licentia_")), key=lambda family: family.name)
    lines = "".join(f"| `{_exposed(family)}` | {family.type} | {family.documentation} |\n" for family in families)
    return f"{intro}\n| Name | Type | Meaning |\n|---|---|---|\n{lines}"


def _exposed(family: Metric) -> str:
    """The name of the time series: Prometheus exposes counters with a suffix."""
    return f"{family.name}_total" if family.type == "counter" else family.name


PAGES: Mapping[str, Callable[[FastAPI], str]] = {
    "settings.md": settings, "codes.md": codes, "events.md": events, "scopes.md": scopes, "metrics.md": metrics,
}  # fmt: skip


def render(app: FastAPI) -> dict[Path, str]:
    """Every page by its path, as the code says now."""
    return {FOLDER / name: NOTE + make(app) for name, make in PAGES.items()}


def write(app: FastAPI) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in render(app).items():
        path.write_text(text, encoding="utf-8")


def drift(app: FastAPI) -> str:
    """How the written pages differ from the code, as a unified diff."""
    return "".join(_diff(path, text) for path, text in render(app).items())


def _diff(path: Path, text: str) -> str:
    written = path.read_text(encoding="utf-8") if path.exists() else ""
    return "".join(unified_diff(written.splitlines(True), text.splitlines(True), f"written/{path.name}", f"now/{path.name}"))
