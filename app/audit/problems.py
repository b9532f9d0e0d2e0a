"""Problems of the event list."""

from app.base.problems import Kind, Problem


class EventNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "event_not_found"
    title = "The event does not exist."
