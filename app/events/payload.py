"""An event as operators and webhook receivers get it: the audit list and webhooks use the same JSON."""

from typing import Any

from app.base.durations import instant_text
from app.db.types import AnyRow

PRIVATE = frozenset({"ip"})
"""Data that is only in the end user's own history: an erasure cannot delete what a webhook receiver has stored."""


def build_payload(row: AnyRow) -> dict[str, Any]:
    """Return the event as JSON values. `row` has the columns of an Event."""
    return {
        "id": str(row.id),
        "type": row.type,
        "at": instant_text(row.at),
        "actor": {"type": row.actor_type, "id": str(row.actor_id) if row.actor_id else None},
        "subject": {"type": row.subject_type, "id": str(row.subject_id)},
        "user_id": str(row.user_id) if row.user_id else None,
        "data": {name: value for name, value in row.data.items() if name not in PRIVATE},
    }
