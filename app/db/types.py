"""Column types that behave alike on both databases: instants in UTC, JSON, limits, short texts."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import JSON, DateTime, Dialect, Integer, LargeBinary, Row, Select, String, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import mapped_column
from sqlalchemy.types import TypeDecorator

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
AnySelect: TypeAlias = Select[*tuple[Any, ...]]

UNLIMITED: Literal["unlimited"] = "unlimited"
Limit: TypeAlias = int | Literal["unlimited"]


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, read back in UTC (SQLite stores no time zone). Raises ValueError for a naive value."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class LimitType(TypeDecorator[Any]):
    """A limit in an integer column: NULL is no value, -1 is `unlimited`, any other number is the limit."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Limit | None, dialect: Dialect) -> int | None:
        return -1 if value == UNLIMITED else value

    def process_result_value(self, value: int | None, dialect: Dialect) -> Limit | None:
        return UNLIMITED if value == -1 else value


Json = JSON().with_variant(JSONB(none_as_null=True), "postgresql")

Identifier = Annotated[UUID, mapped_column(Uuid, primary_key=True)]
Reference = Annotated[UUID, mapped_column(Uuid)]
Instant = Annotated[datetime, mapped_column(UtcDateTime)]
Word = Annotated[str, mapped_column(String(32))]
Line = Annotated[str, mapped_column(String(512))]
Digest = Annotated[bytes, mapped_column(LargeBinary(32))]
JsonMap = Annotated[dict[str, Any], mapped_column(Json)]
JsonList = Annotated[list[Any], mapped_column(Json)]
