"""Wire models of the audit list."""

from typing import Any
from uuid import UUID

from app.db.types import AnyRow
from app.events.payload import build_payload
from app.web.fields import Instant, WireModel


class AuditActorOut(WireModel):
    """The acting party: `operator`, `user`, `device`, `system` or `anonymous`."""

    type: str
    id: UUID | None


class AuditSubjectOut(WireModel):
    """The object that the event happened to."""

    type: str
    id: UUID


class AuditEventOut(WireModel):
    """An event, with the same members as the body of a webhook."""

    id: UUID
    type: str
    at: Instant
    actor: AuditActorOut
    subject: AuditSubjectOut
    user_id: UUID | None
    data: dict[str, Any]

    @classmethod
    def of(cls, row: AnyRow) -> "AuditEventOut":
        return cls.model_validate(build_payload(row) | {"at": row.at})


class EventTypeOut(WireModel):
    type: str
    title: str


class EventTypesOut(WireModel):
    data: list[EventTypeOut]
