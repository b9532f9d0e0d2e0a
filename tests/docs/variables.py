"""The table of settings, made from `app/config/variables.py`: name, default, bounds, and the docstring of the field."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from app.config.settings import Settings

DEFAULTS = {
    "encryption_keys": "made in development",
    "lookup_key": "made in development",
    "public_url": "`http://127.0.0.1:PORT` in development",
    "hash_slots": "the CPUs, as far as a quarter of the memory goes",
    "region_groups": "the EU",
}
"""Defaults that are described instead of printed."""


def table() -> str:
    rows = "".join(
        f"| `{name.upper()}` | {default(name, field)} | {bounds(field)} | {' '.join((field.description or '').split())} |\n"
        for name, field in fields()
    )
    return f"| `LICENTIA_…` | Default | Values | Meaning |\n|---|---|---|---|\n{rows}"


def fields() -> Iterator[tuple[str, FieldInfo]]:
    yield from Settings.model_fields.items()


def default(name: str, field: FieldInfo) -> str:
    return DEFAULTS.get(name) or (f"`{text(field.default)}`" if field.default not in (None, []) else "none")


def text(value: Any) -> str:
    """As the environment would say it."""
    return iso(value) if isinstance(value, timedelta) else str(value).lower() if isinstance(value, bool) else str(value)


def iso(span: timedelta) -> str:
    """ISO 8601 by the largest unit that leaves no rest; days are the largest, for a year has no one length."""
    for unit, letters in ((timedelta(days=1), "P{}D"), (timedelta(hours=1), "PT{}H"), (timedelta(minutes=1), "PT{}M")):
        if not span % unit:
            return letters.format(span // unit)
    return f"PT{span.total_seconds():g}S"


def bounds(field: FieldInfo) -> str:
    """One of some words, or from the least to the most; a bound that was narrowed counts as it is now."""
    if get_origin(field.annotation) is Literal:
        return " ".join(f"`{word}`" for word in get_args(field.annotation))
    least: list[Any] = [rule.ge for rule in field.metadata if isinstance(rule, Ge)]
    above = [rule.gt for rule in field.metadata if isinstance(rule, Gt)] if not least else []
    most: list[Any] = [rule.le for rule in field.metadata if isinstance(rule, Le)]
    if not most:
        return ""
    return f"{f'`{text(max(least))}`' if least else 'more than 0' if above else ''} to `{text(min(most))}`".strip()
