"""Compares the rows a receipt refers to (document, version, text, presentation, import) with its claims. Pure functions."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from app.agreements.ledger.chain import DECISIONS
from app.agreements.models import EventType
from app.base.durations import instant_text
from app.db.types import AnyRow
from app.security.signing import Claims

_CLAIMS: Mapping[str, Mapping[str, str]] = {
    "document": {"document_kind": "kind", "document_region": "region", "document_product": "product"},
    "version": {"version_document_id": "doc", "version_ordinal": "ord"},
    "text": {"text_version_id": "ver"},
}
_PRESENTATION = {
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
PRESENTATION_COLUMNS = (*_PRESENTATION, "served_sha256")
"""The columns of a presentation that the receipt of its decision repeats."""


def to_claim(value: Any) -> Any:
    """Convert a column's value to the form that claims have."""
    if isinstance(value, UUID):
        return str(value)
    return instant_text(value) if hasattr(value, "astimezone") else value


def find_fault(row: AnyRow, claims: Claims) -> str | None:
    """Return the first row that is missing, by its name, or its first wrong column, as in `version.ordinal`.

    `row` has the columns named in `_CLAIMS`, those of `PRESENTATION_COLUMNS` with the prefix `presentation_`, and `external_ref`.
    """
    return next(_list_faults(row._asdict(), claims), None)


def _list_faults(row: Mapping[str, Any], claims: Claims) -> Iterator[str]:
    for name, columns in _CLAIMS.items():
        if row[f"there_{name}"] is None:
            yield name
        for column, claim in columns.items():
            if to_claim(row[column]) != claims.get(claim):
                yield f"{name}.{column.removeprefix(f'{name}_')}"
    if claims.get("event") in DECISIONS:
        yield from _list_presentation_faults(row, claims)
    yield from _list_import_faults(row, claims)


def _list_presentation_faults(row: Mapping[str, Any], claims: Claims) -> Iterator[str]:
    """Yield faults of a decision's presentation. Only for decisions: the presentation of a notice may be deleted."""
    if row["there_presentation"] is None:
        yield "presentation"
    for column, claim in _PRESENTATION.items():
        if to_claim(row[f"presentation_{column}"]) != claims.get(claim):
            yield f"presentation.{column}"
    served = row["presentation_served_sha256"]
    if served is not None and served != claims.get("served_sha256"):  # presentations of early releases have none
        yield "presentation.served_sha256"


def _list_import_faults(row: Mapping[str, Any], claims: Claims) -> Iterator[str]:
    ref = (claims.get("claims") or {}).get("external_ref") if claims.get("event") == EventType.IMPORTED else None
    if ref is not None and row["external_ref"] is None:
        yield "import"
    if row["external_ref"] != ref:
        yield "import.external_ref"
