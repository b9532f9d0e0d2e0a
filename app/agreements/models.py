"""Agreements. Published versions and their texts are frozen; events are only ever inserted."""

from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Identifier, Instant, JsonList, Line, Reference, Word


class Kind(StrEnum):
    """An `eula` is accepted before the product may be used; a `notice` is only shown."""

    EULA = "eula"
    NOTICE = "notice"


class ChangeClass(StrEnum):
    """What a version asks of those who accepted an earlier one: `material` asks again, `notice` informs, `editorial` does neither."""

    MATERIAL = "material"
    NOTICE = "notice"
    EDITORIAL = "editorial"


class VersionStatus(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    CANCELLED = "cancelled"


class Minors(StrEnum):
    """What a document says to an end user whose `age_band` is `minor` (agreements R13)."""

    ALLOW = "allow"
    REQUIRE_GUARDIAN = "require_guardian"
    DENY = "deny"


class EventType(StrEnum):
    """`imported`: accepted elsewhere, as the operator says. `annotated`: a correction, which changes nothing but is never lost (agreements R24)."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    NOTICE_SHOWN = "notice_shown"
    IMPORTED = "imported"
    ANNOTATED = "annotated"


class AgreementDocument(Base):
    """What a product asks its end users to agree to, in one region (`001` is the world, UN M.49).

    `required_locales`: where a law wants its language shown first, one of these must have been (agreements R18).
    """

    __tablename__ = "agreement_documents"
    __table_args__ = (UniqueConstraint("product_id", "kind", "region"),)

    id: Mapped[Identifier]
    product_id: Mapped[Reference] = mapped_column(ForeignKey("products.id"))
    kind: Mapped[Word]
    region: Mapped[Word]
    name: Mapped[str] = mapped_column(String(200))
    default_locale: Mapped[str] = mapped_column(String(35))
    required_locales: Mapped[JsonList] = mapped_column(default=list, server_default="[]")
    minors: Mapped[Word] = mapped_column(default=Minors.ALLOW, server_default="allow")
    rev: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Instant]


class AgreementVersion(Base):
    """`ordinal` is given at publish, under the document's lock; `label` is decoration (agreements R6). States follow from time (agreements R7)."""

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
    published_by: Mapped[Reference | None]
    cancelled_at: Mapped[Instant | None]
    created_at: Mapped[Instant]


class AgreementText(Base):
    """One version in one language. `sha256` is over exactly the stored bytes of `body`: UTF-8, NFC, LF, final line end (agreements R1).

    `html` and `plain` are made of it once, when it is published, and kept for ever: what a later renderer would make does not count (agreements R2).
    """

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
    html: Mapped[str | None] = mapped_column(Text)
    html_sha256: Mapped[str | None] = mapped_column(String(64))
    plain: Mapped[str | None] = mapped_column(Text)
    plain_sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[Instant]


class AgreementPresentation(Base):
    """One showing of one text to one end user, in one session; consumed by the first decision (agreements R14)."""

    __tablename__ = "agreement_presentations"
    __table_args__ = (
        Index("ix_agreement_presentations_user_id", "user_id", "text_id"),
        Index(
            "ix_agreement_presentations_open",
            "expires_at",
            sqlite_where=text("decided_at IS NULL"),
            postgresql_where=text("decided_at IS NULL"),
        ),
    )

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
    served_sha256: Mapped[str | None] = mapped_column(String(64))
    session_id: Mapped[Reference | None]
    decided_at: Mapped[Instant | None]


class AgreementLedger(Base):
    """The head of one end user's chain of receipts; bumped first by every transaction that adds to it.

    `legal_hold`: the contexts of the chain's events may not be erased (agreements R25).
    """

    __tablename__ = "agreement_ledgers"

    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"), primary_key=True)
    seq: Mapped[int]
    head: Mapped[str | None] = mapped_column(String(64))
    legal_hold: Mapped[bool] = mapped_column(default=False, server_default=false())


class AgreementEvent(Base):
    """What an end user did, signed. Insert only; the receipt is the record, the other columns are an index of it.

    `presentation_id` is that of the presentation which the event spent: a decision's, never a notice's. `amr` is the session's,
    space separated.
    """

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
    actor_type: Mapped[Word] = mapped_column(default="user", server_default="user")
    actor_id: Mapped[Reference | None]
    amr: Mapped[Line | None]
    fallback: Mapped[Word | None]
    receipt: Mapped[str] = mapped_column(Text)
    receipt_sha256: Mapped[str] = mapped_column(String(64))
    prev_sha256: Mapped[str | None] = mapped_column(String(64))


class AgreementImport(Base):
    """The operator's own reference of an acceptance that was brought here from elsewhere: each is brought once."""

    __tablename__ = "agreement_imports"

    external_ref: Mapped[str] = mapped_column(String(200), primary_key=True)
    event_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_events.id"), unique=True)


class AgreementTurn(Base):
    """What is done by one at a time, in the whole house: whoever bumps the row holds it until the transaction ends."""

    __tablename__ = "agreement_turns"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    turn: Mapped[int]


class AgreementEventContext(Base):
    """Where an end user's own act came from; may be erased without breaking a receipt, which holds only a salted commitment."""

    __tablename__ = "agreement_event_contexts"

    event_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_events.id"), primary_key=True)
    ip: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(512))
    session_id: Mapped[Reference]
    salt: Mapped[Digest]


class AgreementSeal(Base):
    """The root of the Merkle tree (RFC 9162 section 2.1) over events that no seal held yet, signed, chained. Insert only."""

    __tablename__ = "agreement_seals"

    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[int]
    root: Mapped[str] = mapped_column(String(64))
    prev_sha256: Mapped[str | None] = mapped_column(String(64))
    sealed_at: Mapped[Instant]
    seal: Mapped[str] = mapped_column(Text)
    seal_sha256: Mapped[str] = mapped_column(String(64))


class AgreementSealItem(Base):
    """Which leaf of which seal an event is, whose, and the hash that the seal was made over. Insert only.

    No foreign key to the event, so that a lost event leaves its trace; and the hash, so that it takes nobody else's proof with it.
    """

    __tablename__ = "agreement_seal_items"
    __table_args__ = (UniqueConstraint("seal_n", "leaf"),)

    event_id: Mapped[Identifier]
    seal_n: Mapped[int] = mapped_column(ForeignKey("agreement_seals.n"))
    leaf: Mapped[int]
    leaf_sha256: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[Reference]


class AgreementState(Base):
    """Where one end user stands with one document: a projection of the events, which it can be rebuilt from. Its ordinals only
    rise, but for `accepted_ordinal` at a withdrawal, which starts it anew."""

    __tablename__ = "agreement_states"

    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"), primary_key=True)
    document_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_documents.id"), primary_key=True)
    accepted_ordinal: Mapped[int]
    declined_ordinal: Mapped[int]
    notified_ordinal: Mapped[int] = mapped_column(default=0, server_default="0")
    withdrawn_at: Mapped[Instant | None]
    accepted_event_id: Mapped[Reference | None]
    updated_at: Mapped[Instant]
