"""The rows that an event's receipt speaks of: document, version, text, presentation and import, each against the claims of it. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from app.agreements.models import EventType
from app.base.durations import instant_text
from app.db.types import AnyRow
from app.security.signing import Claims

DECISIONS = frozenset({EventType.ACCEPTED, EventType.DECLINED})
_CLAIMS: Mapping[str, Mapping[str, str]] = {
    "document": {"document_kind": "kind", "document_region": "region", "document_product": "product"},
    "version": {"version_document_id": "doc", "version_ordinal": "ord"},
    "text": {"text_version_id": "ver"},
}
_SHOWN = {
    "user_id": "sub",
    "text_id": "txt",
    "format": "format",
    "locale_requested": "locale_requested",
    "fallback": "fallback",
    "presented_at": "presented_at",
    "client": "client",
    "app_version": "app_version",
    "platform": "platform",
    "ui_ref": "ui_ref",
}


PRESENTATION_COLUMNS = (*_SHOWN, "served_sha256")
"""The columns of a presentation that a decision's receipt repeats."""


def to_claim(value: Any) -> Any:
    """A column's value in the words of a receipt."""
    if isinstance(value, UUID):
        return str(value)
    return instant_text(value) if hasattr(value, "astimezone") else value


def find_fault(row: AnyRow, claims: Claims) -> str | None:
    """The first of these rows that is gone, by its name, or the column of it that is not as the receipt says, as `version.ordinal`.

    `row` has their columns by the names of `_CLAIMS`, `_SHOWN` with `presentation_` before them, and `external_ref`.
    """
    return next(_faults(row._asdict(), claims), None)


def _faults(row: Mapping[str, Any], claims: Claims) -> Iterator[str]:
    for name, columns in _CLAIMS.items():
        if row[f"there_{name}"] is None:
            yield name
        for column, claim in columns.items():
            if to_claim(row[column]) != claims.get(claim):
                yield f"{name}.{column.removeprefix(f'{name}_')}"
    if claims.get("event") in DECISIONS:
        yield from _shown(row, claims)
    yield from _brought(row, claims)


def _shown(row: Mapping[str, Any], claims: Claims) -> Iterator[str]:
    """A decision's presentation is kept as long as the event; a notice's is not."""
    if row["there_presentation"] is None:
        yield "presentation"
    for column, claim in _SHOWN.items():
        if to_claim(row[f"presentation_{column}"]) != claims.get(claim):
            yield f"presentation.{column}"
    served = row["presentation_served_sha256"]
    if served is not None and served != claims.get("served_sha256"):  # of before formats there is none
        yield "presentation.served_sha256"


def _brought(row: Mapping[str, Any], claims: Claims) -> Iterator[str]:
    ref = (claims.get("claims") or {}).get("external_ref") if claims.get("event") == EventType.IMPORTED else None
    if ref is not None and row["external_ref"] is None:
        yield "import"
    if row["external_ref"] != ref:
        yield "import.external_ref"
