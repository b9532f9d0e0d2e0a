"""Tables of agreements. Published versions and their texts never change; events are only inserted."""

from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.types import Digest, Identifier, Instant, JsonList, Line, Reference, Word


class AgreementKind(StrEnum):
    """An `eula` must be accepted before the product is used; a `notice` is only shown."""

    EULA = "eula"
    NOTICE = "notice"


class ChangeClass(StrEnum):
    """What a version requires after an earlier acceptance: `material` a new acceptance, `notice` only showing, `editorial` nothing."""

    MATERIAL = "material"
    NOTICE = "notice"
    EDITORIAL = "editorial"


class VersionStatus(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    CANCELLED = "cancelled"


class Minors(StrEnum):
    """What an end user whose `age_band` is `minor` may do with a document (agreements R13)."""

    ALLOW = "allow"
    REQUIRE_GUARDIAN = "require_guardian"
    DENY = "deny"


class EventType(StrEnum):
    """`imported`: accepted elsewhere, according to the operator. `annotated`: a note or correction, which changes no state."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    NOTICE_SHOWN = "notice_shown"
    IMPORTED = "imported"
    ANNOTATED = "annotated"


class AgreementDocument(Base):
    """An agreement that a product requires of its end users in one region (`001` is the world, UN M.49).

    `required_locales`: languages that the law requires; the text must be shown in one of them (agreements R18).
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
    """A version of a document. Its `ordinal` is set at publishing, under the document's lock; `label` has no meaning (agreements R6).

    Its state follows from the time (agreements R7).
    """

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

    `html` and `plain` are rendered once, at publishing, and stored permanently: a later renderer changes nothing (agreements R2).
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
    """One text, shown once to one end user in one session. The first decision consumes it (agreements R14)."""

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
    """The head of one end user's chain of receipts. Every transaction that appends updates it first, and so locks it.

    `legal_hold`: the contexts of the user's events may not be erased (agreements R25).
    """

    __tablename__ = "agreement_ledgers"

    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"), primary_key=True)
    seq: Mapped[int]
    head: Mapped[str | None] = mapped_column(String(64))
    legal_hold: Mapped[bool] = mapped_column(default=False, server_default=false())


class AgreementEvent(Base):
    """What an end user did, signed. Insert only; the receipt is the record, the other columns index it.

    `presentation_id`: the presentation that the decision consumed; null for a notice. `amr`: the session's factors, separated by spaces.
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
    """The external reference of an imported acceptance. Each reference is imported once."""

    __tablename__ = "agreement_imports"

    external_ref: Mapped[str] = mapped_column(String(200), primary_key=True)
    event_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_events.id"), unique=True)


class AgreementLock(Base):
    """A named lock across all replicas: a transaction that updates the row holds the lock until it ends."""

    __tablename__ = "agreement_turns"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    turn: Mapped[int]


class AgreementEventContext(Base):
    """Network address, user agent and session of an end user's event. Can be erased: the receipt contains only a salted hash of it."""

    __tablename__ = "agreement_event_contexts"

    event_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_events.id"), primary_key=True)
    ip: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(512))
    session_id: Mapped[Reference]
    salt: Mapped[Digest]


class AgreementSeal(Base):
    """The signed root of a Merkle tree (RFC 9162 section 2.1) over events not sealed before, chained to the previous seal. Insert only."""

    __tablename__ = "agreement_seals"

    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[int]
    root: Mapped[str] = mapped_column(String(64))
    prev_sha256: Mapped[str | None] = mapped_column(String(64))
    sealed_at: Mapped[Instant]
    seal: Mapped[str] = mapped_column(Text)
    seal_sha256: Mapped[str] = mapped_column(String(64))


class AgreementSealItem(Base):
    """The seal and leaf of an event, its user, and the hash that was sealed. Insert only.

    There is no foreign key to the event, so a lost event leaves a trace. The stored hash keeps the proofs of all other events valid.
    """

    __tablename__ = "agreement_seal_items"
    __table_args__ = (UniqueConstraint("seal_n", "leaf"),)

    event_id: Mapped[Identifier]
    seal_n: Mapped[int] = mapped_column(ForeignKey("agreement_seals.n"))
    leaf: Mapped[int]
    leaf_sha256: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[Reference]


class AgreementState(Base):
    """One end user's state for one document: a projection of the events, which can be rebuilt from them.

    Ordinals only rise, except that a withdrawal sets `accepted_ordinal` to 0.
    """

    __tablename__ = "agreement_states"

    user_id: Mapped[Reference] = mapped_column(ForeignKey("users.id"), primary_key=True)
    document_id: Mapped[Reference] = mapped_column(ForeignKey("agreement_documents.id"), primary_key=True)
    accepted_ordinal: Mapped[int]
    declined_ordinal: Mapped[int]
    notified_ordinal: Mapped[int] = mapped_column(default=0, server_default="0")
    withdrawn_at: Mapped[Instant | None]
    accepted_event_id: Mapped[Reference | None]
    updated_at: Mapped[Instant]
