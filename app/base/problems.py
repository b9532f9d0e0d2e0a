"""Problems (RFC 9457) without HTTP: a kind, a declared code, a title and typed facts, but no status and no URL."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import ClassVar, TypeAlias


class Kind(Enum):
    """The category of a problem. Only `web/errors.py` maps it to an HTTP status."""

    NOT_HTTP = auto()
    INVALID = auto()
    UNAUTHENTICATED = auto()
    FORBIDDEN = auto()
    NOT_FOUND = auto()
    METHOD_NOT_ALLOWED = auto()
    NOT_ACCEPTABLE = auto()
    CONFLICT = auto()
    TOO_SLOW = auto()
    GONE = auto()
    TOO_LARGE = auto()
    UNSUPPORTED_MEDIA = auto()
    HEAD_TOO_LARGE = auto()
    THROTTLED = auto()
    BROKEN = auto()
    UNAVAILABLE = auto()


Fact: TypeAlias = "str | int | bool | list[Fact] | dict[str, Fact] | None"


class Problem(Exception):
    """A refused request. Subclasses declare `kind`, `code` and `title`; the code is unique in the program.

    `detail` says in one sentence what the caller can do, `retry_after` is in whole seconds, facts are JSON values.
    """

    kind: ClassVar[Kind]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str | None = None, facts: Mapping[str, Fact] | None = None, retry_after: int | None = None) -> None:
        super().__init__(self.code)
        self.detail = detail or self.title
        self.facts = facts or {}
        self.retry_after = retry_after

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" in cls.__dict__:
            if cls.code in DECLARED:
                raise TypeError(f"the code {cls.code} is declared twice")
            DECLARED[cls.code] = cls


DECLARED: dict[str, type[Problem]] = {}
"""Every problem class by its code, filled as the packages are imported."""

ADVISORIES: dict[str, str] = {}
"""Codes that only appear inside a decision, as reasons or warnings, with their titles."""


def declare_advisory(code: str, title: str) -> str:
    """Declare a code that only appears inside a decision, and return it."""
    if code in ADVISORIES:
        raise TypeError(f"the code {code} is declared twice")
    ADVISORIES[code] = title
    return code


MAX_ERRORS = 20
"""How many errors a response lists at most."""


class Malformed(Problem):
    """Invalid input. `errors` lists the first `MAX_ERRORS` faults as `{pointer, code, detail}`; the input is never repeated."""

    kind = Kind.INVALID
    code = "malformed"
    title = "The request is not valid."

    def __init__(self, errors: list[tuple[str, str, str]]) -> None:
        """Build the problem. `errors`: (JSON pointer, code, sentence), one for each fault."""
        listed: list[Fact] = [{"pointer": pointer, "code": code, "detail": text} for pointer, code, text in errors[:MAX_ERRORS]]
        which = "`errors`" if len(errors) <= MAX_ERRORS else f"`errors` (the first {MAX_ERRORS} of more)"
        super().__init__(f"Correct the fields listed in {which} and send the request again.", {"errors": listed})


def field_error(pointer: str, code: str, sentence: str) -> Mapping[str, Fact]:
    """Return the facts of a problem with one field, in the form of every 422."""
    return {"errors": [{"pointer": pointer, "code": code, "detail": sentence}]}


class Busy(Problem):
    kind = Kind.UNAVAILABLE
    code = "busy"
    title = "The service is busy; nothing was changed."

    def __init__(self) -> None:
        super().__init__("Send the same request again after the time in Retry-After.", retry_after=1)


class Unavailable(Problem):
    kind = Kind.UNAVAILABLE
    code = "unavailable"
    title = "The database is unreachable or cannot store data; nothing was changed."

    def __init__(self) -> None:
        super().__init__("Send the same request again after the time in Retry-After.", retry_after=5)


class OutcomeUnknown(Problem):
    """The connection to the database was lost between COMMIT and its confirmation."""

    kind = Kind.UNAVAILABLE
    code = "outcome_unknown"
    title = "The database connection was lost during the commit; the change may or may not have been made."

    def __init__(self) -> None:
        super().__init__(
            "Read the current state first, or repeat the request with its Idempotency-Key, which makes the change only once.", retry_after=5
        )
