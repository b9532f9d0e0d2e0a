"""An event as it is sent to operators and their receivers: the same in the audit list and in a webhook, member by member."""

from typing import Any

from app.base.durations import instant_text
from app.db.types import AnyRow

PRIVATE = frozenset({"ip"})
"""Facts that stay with the end user's own history: what a receiver was sent once, no erasure brings back."""


def build_payload(row: AnyRow) -> dict[str, Any]:
    """JSON values. `row` has the columns of an Event."""
    return {
        "id": str(row.id),
        "type": row.type,
        "at": instant_text(row.at),
        "actor": {"type": row.actor_type, "id": str(row.actor_id) if row.actor_id else None},
        "subject": {"type": row.subject_type, "id": str(row.subject_id)},
        "user_id": str(row.user_id) if row.user_id else None,
        "data": {name: value for name, value in row.data.items() if name not in PRIVATE},
    }
