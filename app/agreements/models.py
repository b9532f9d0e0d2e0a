"""Agreements. Published versions and their texts are frozen; events are only ever inserted."""

from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Identifier, Instant, Line, Reference, Word


class Kind(StrEnum):
    EULA = "eula"


class ChangeClass(StrEnum):
    """What a version asks of those who accepted an earlier one: `material` asks again, `notice` informs, `editorial` does neither."""

    MATERIAL = "material"
    NOTICE = "notice"
    EDITORIAL = "editorial"


class VersionStatus(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"


class EventType(StrEnum):
    ACCEPTED = "accepted"
    DECLINED = "declined"


class AgreementDocument(Base):
    """What a product asks its end users to agree to, in one region (`001` is the world, UN M.49)."""

    __tablename__ = "agreement_documents"
    __table_args__ = (UniqueConstraint("product_id", "kind", "region"),)

    id: Mapped[Identifier]
    product_id: Mapped[Reference] = mapped_column(ForeignKey("products.id"))
    kind: Mapped[Word]
    region: Mapped[Word]
    name: Mapped[str] = mapped_column(String(200))
    default_locale: Mapped[str] = mapped_column(String(35))
    rev: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Instant]


class AgreementVersion(Base):
    """`ordinal` is given at publish, under the document's lock; `label` is decoration (R6). States follow from time (R7)."""

    __tablename__ = "agreement_versions"
    __table_args__ = (UniqueConstraint("document_id", "ordinal"),)

    id: Mapped[Identifier]
    document_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_documents.id"))
    ordinal: Mapped[int | None]
    label: Mapped[str | None] = mapped_column(String(200))
    change_class: Mapped[Word]
    status: Mapped[Word]
    effective_at: Mapped[Instant | None]
    grace_until: Mapped[Instant | None]
    published_at: Mapped[Instant | None]
    created_at: Mapped[Instant]


class AgreementText(Base):
    """One version in one language. `sha256` is over exactly the stored bytes of `body`: UTF-8, NFC, LF, final line end (R1)."""

    __tablename__ = "agreement_texts"
    __table_args__ = (UniqueConstraint("version_id", "locale"),)

    id: Mapped[Identifier]
    version_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_versions.id"))
    locale: Mapped[str] = mapped_column(String(35))
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    summary: Mapped[str | None] = mapped_column(Text)
    changes: Mapped[str | None] = mapped_column(Text)
    statement: Mapped[str] = mapped_column(Text)
    accept_label: Mapped[str] = mapped_column(String(200))
    decline_label: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64))
    statement_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[Instant]


class AgreementPresentation(Base):
    """One showing of one text to one end user; consumed by the first decision (R14)."""

    __tablename__ = "agreement_presentations"
    __table_args__ = (Index("ix_agreement_presentations_user_id", "user_id", "text_id"),)

    id: Mapped[Identifier]
    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"))
    text_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_texts.id"))
    format: Mapped[Word]
    locale_requested: Mapped[Line | None]
    fallback: Mapped[Word]
    client: Mapped[str | None] = mapped_column(String(200))
    app_version: Mapped[str | None] = mapped_column(String(200))
    platform: Mapped[str | None] = mapped_column(String(200))
    ui_ref: Mapped[str | None] = mapped_column(String(200))
    presented_at: Mapped[Instant]
    expires_at: Mapped[Instant]
    scrolled_to_end: Mapped[bool | None]
    dwell_ms: Mapped[int | None]
    decided_at: Mapped[Instant | None]


class AgreementLedger(Base):
    """The head of one end user's chain of receipts; bumped first by every transaction that adds to it."""

    __tablename__ = "agreement_ledgers"

    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"), primary_key=True)
    seq: Mapped[int]
    head: Mapped[str | None] = mapped_column(String(64))


class AgreementEvent(Base):
    """What an end user did, signed. Insert only; the receipt is the record, the other columns are an index of it."""

    __tablename__ = "agreement_events"
    __table_args__ = (UniqueConstraint("user_id", "seq"), Index("ix_agreement_events_document_id", "document_id", "at"))

    id: Mapped[Identifier]
    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"))
    seq: Mapped[int]
    type: Mapped[Word]
    document_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_documents.id"))
    version_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_versions.id"))
    ordinal: Mapped[int]
    text_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_texts.id"))
    presentation_id: Mapped[Reference | None] = mapped_column(ForeignKey("agreement_presentations.id"), unique=True)
    at: Mapped[Instant]
    receipt: Mapped[str] = mapped_column(Text)
    receipt_sha256: Mapped[str] = mapped_column(String(64))
    prev_sha256: Mapped[str | None] = mapped_column(String(64))


class AgreementEventContext(Base):
    """Where a decision came from; may be erased without breaking a receipt, which holds only a salted commitment."""

    __tablename__ = "agreement_event_contexts"

    event_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_events.id"), primary_key=True)
    ip: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(512))
    session_id: Mapped[Reference]
    salt: Mapped[Digest]


class AgreementState(Base):
    """Where one end user stands with one document: a projection of the events that only moves up (rebuildable)."""

    __tablename__ = "agreement_states"

    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"), primary_key=True)
    document_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_documents.id"), primary_key=True)
    accepted_ordinal: Mapped[int]
    declined_ordinal: Mapped[int]
    accepted_event_id: Mapped[Reference | None]
    updated_at: Mapped[Instant]
