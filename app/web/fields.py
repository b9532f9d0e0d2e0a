"""The building blocks of wire shapes: strict objects, clean text, instants, durations, limits, metadata, pages."""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema

from app.base.durations import Duration, instant_text
from app.events.kinds import is_known
from app.observability.logs import mask

INT_MAX = 2**31 - 1
UNLIMITED = "unlimited"
FIRST_YEAR = 1970
LONGEST_LEASE = timedelta(days=3660)
_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII)

_UNENCODABLE = re.compile("[\\x00\\ud800-\\udfff]")
_CONTROL = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\u2028\\u2029]")
"""Unicode's Cc and Cs (without line breaks and tabs in `_CONTROL`), and its line and paragraph separators."""


def omittable() -> Any:
    """The default of a PATCH field that may be left out but never be null."""
    return Field(default=None)


class WireModel(BaseModel):
    """A wire object. Unknown fields are refused; a typo is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, from_attributes=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What a trace or a careless log line may show: a body can hold a password, an answer a token."""
        values: dict[str | None, Any] = mask(dict(super().__repr_args__()))
        return values.items()


def clean_text(text: str) -> str:
    # NUL cannot be stored in PostgreSQL and a lone surrogate cannot be hashed or encoded: refused here, once, for everybody.
    if _UNPRINTABLE.search(text):
        raise ValueError("must have only printable characters")
    if text and not text.strip():
        raise ValueError("must not be blank")
    return text


def _prose(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must not have control characters")
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _encodable(text: str) -> str:
    if _UNENCODABLE.search(text):
        raise ValueError("must be valid Unicode")
    return text


Region = Annotated[str, Field(pattern=r"^([A-Za-z]{2}(-[A-Za-z0-9]{1,3})?|[0-9]{3})$"), AfterValidator(str.upper)]
"""A country (ISO 3166-1), one of its subdivisions (ISO 3166-2) or three digits of UN M.49; stated, never guessed."""
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(clean_text)]
Line = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(clean_text)]
Prose = Annotated[str, Field(min_length=1, max_length=200_000), AfterValidator(_prose)]
Secret = Annotated[str, Field(min_length=1, max_length=8192), AfterValidator(_encodable)]
"""A credential as it was typed; kept out of every log by its field's name."""
Slug = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$")]
Nonce = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(clean_text)]
ExternalId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(clean_text)]
Count = Annotated[int, Field(strict=True, ge=0, le=INT_MAX)]
Flag = Annotated[bool, Field(strict=True)]


def _email(text: str) -> str:
    if "=?" in text:  # an encoded word (RFC 2047): to a mail header this would be whatever it decodes to
        raise ValueError("must be an e-mail address, such as ada@example.com")
    try:
        return validate_email(clean_text(text), check_deliverability=False).normalized
    except EmailNotValidError as wrong:
        raise ValueError("must be an e-mail address, such as ada@example.com") from wrong


Email = Annotated[str, Field(min_length=3, max_length=254), AfterValidator(_email)]


def _instant_in(text: object) -> datetime:
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        raise ValueError("must be a date and time with UTC offset (RFC 3339), such as 2026-01-31T12:00:00Z")
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as wrong:
        raise ValueError("must be an existing date and time") from wrong
    if moment.year < FIRST_YEAR:
        raise ValueError(f"must be in the year {FIRST_YEAR} or later")
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


_INSTANT_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time"})
Instant = Annotated[datetime, PlainSerializer(instant_text, return_type=str), _INSTANT_SCHEMA]
InstantIn = Annotated[datetime, BeforeValidator(_instant_in), _INSTANT_SCHEMA]


def _duration_in(text: str) -> str:
    return Duration.parse(text).text


DurationText = Annotated[str, Field(max_length=32, json_schema_extra={"format": "duration"}), AfterValidator(_duration_in)]


def _lease_in(text: str) -> str:
    lease = Duration.parse(text)
    if lease.months * timedelta(days=31) + lease.exact > LONGEST_LEASE:
        raise ValueError("must be at most ten years")
    return lease.text


LeaseText = Annotated[str, Field(max_length=32, json_schema_extra={"format": "duration"}), AfterValidator(_lease_in)]


def _limit(given: object) -> object:
    if given == UNLIMITED or (type(given) is int and 0 <= given <= INT_MAX):
        return given
    raise ValueError(f'must be an integer from 0 to {INT_MAX}, or "{UNLIMITED}"')


LimitIn = Annotated[
    int | Literal["unlimited"],
    PlainValidator(_limit),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0, "maximum": INT_MAX}, {"type": "string", "const": UNLIMITED}]}),
]


def _metadata(given: dict[str, Any]) -> dict[str, Any]:
    for key, value in given.items():
        clean_text(key)
        if isinstance(value, str):
            _encodable(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError("must have only finite numbers")
        elif isinstance(value, int | float) and abs(value) > 2**53:  # JSONB gives a large float back as a whole number
            raise ValueError("must have only numbers from -2^53 to 2^53")
    return given


def _scalars(given: object) -> object:
    """Refuse nesting before the union tries to make sense of it."""
    if isinstance(given, dict) and any(isinstance(value, dict | list) for value in given.values()):
        raise ValueError("must be an object without nested objects or arrays")
    return given


Metadata = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=2000)] | bool | int | float | None],
    Field(max_length=50),
    BeforeValidator(_scalars),
    AfterValidator(_metadata),
]


FeatureValue: TypeAlias = Literal[True] | Annotated[int, Field(strict=True, ge=-INT_MAX, le=INT_MAX)] | Line
Features = Annotated[dict[Slug, FeatureValue], Field(max_length=100)]


def _locale(tag: str) -> str:
    """A BCP 47 tag in its usual case: `zh-hans-CN` becomes `zh-Hans-CN` (RFC 5646 section 2.1.1)."""
    parts = tag.split("-")
    if len(parts) > 6:
        raise ValueError("must be a BCP 47 language tag, such as de or pt-BR")
    cased = [parts[0].lower()]
    cased += [part.title() if len(part) == 4 else part.upper() if len(part) == 2 else part.lower() for part in parts[1:]]
    return "-".join(cased)


Locale = Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"), AfterValidator(_locale)]

Item = TypeVar("Item")


class Page(WireModel, Generic[Item]):
    """One page of a list. Send `next_cursor` as `cursor` to get the next page; it is null on the last page."""

    data: list[Item]
    next_cursor: str | None


class ReasonOut(WireModel):
    """Why access is refused, the requirement that is not met, and the next action. Further members depend on `code`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    code: str
    requirement: str
    action: str
    detail: str


class WarningOut(WireModel):
    """Something that does not refuse access now but soon may. Further members depend on `code`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    code: str
    detail: str


def _check_event_type(pattern: str) -> str:
    if not is_known(pattern):
        raise ValueError("must be an event type of GET /v1/event-types, `noun.*` or `*`")
    return pattern


EventType = Annotated[str, Field(min_length=1, max_length=64, examples=["license.*"]), AfterValidator(_check_event_type)]
"""A kind of event, all kinds of one noun (`license.*`), or all there are (`*`)."""
