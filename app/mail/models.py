"""Tables of the e-mail outbox."""

from enum import StrEnum

from sqlalchemy import Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Identifier, Instant, Reference, Word


class Template(StrEnum):
    """The kinds of letters. The text of each is `templates/<language>/<name>.txt`."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105  the name of a template, not a password
    EMAIL_CHANGE_VERIFY = "email_change_verify"
    EMAIL_CHANGE_NOTICE = "email_change_notice"
    EMAIL_CHANGED = "email_changed"
    ADDRESS_TAKEN = "address_taken"
    NEW_LOGIN = "new_login"
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    FACTORS_RESET = "factors_reset_by_operator"
    PASSKEY_SUSPECTED = "passkey_suspected"
    RECOVERY_CODE_USED = "recovery_codes_used"
    RECOVERY_CODES_RENEWED = "recovery_codes_renewed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  the name of a template, not a password
    ACCOUNT_LOCKED = "account_locked"
    LOGIN_CODE = "login_code"
    ACCOUNT_ERASED = "account_erased"


class Message(Base):
    """A letter in the outbox.

    `recipient_sealed` and `facts_sealed` hold the address and one-time tokens, until the letter is sent or given up. `attempts` counts the
    claims; only the process that claimed last may record a result.
    """

    __tablename__ = "messages"
    __table_args__ = (
        Index(
            "ix_messages_waiting",
            "due_at",
            sqlite_where=text("sent_at IS NULL AND failed_at IS NULL"),
            postgresql_where=text("sent_at IS NULL AND failed_at IS NULL"),
        ),
        Index("ix_messages_created_at", "created_at"),
    )

    id: Mapped[Identifier]
    user_id: Mapped[Reference | None]
    template: Mapped[Word]
    locale: Mapped[str] = mapped_column(String(35))
    recipient_sealed: Mapped[str | None] = mapped_column(Text)
    facts_sealed: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[Instant]
    due_at: Mapped[Instant]
    expires_at: Mapped[Instant | None]
    attempts: Mapped[int] = mapped_column(default=0)
    claimed_until: Mapped[Instant | None]
    sent_at: Mapped[Instant | None]
    failed_at: Mapped[Instant | None]
    last_error: Mapped[str | None] = mapped_column(String(64))
