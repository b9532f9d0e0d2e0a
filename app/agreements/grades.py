"""How strong an event is as evidence (rules/agreements section 2.2): judged when it is read, never stored. The same twice: over values,
and as SQL for counts."""

from collections.abc import Collection
from typing import Literal

from sqlalchemy import ColumnElement, String, case, literal, null

from app.agreements.models import AgreementEvent, EventType

Grade = Literal["A", "B", "C"]
MANY = "mfa"
"""RFC 8176 section 2: more than one factor."""
SHARED = "lic"
"""Our own word for a license key: many may hold it, so it says nothing of who acted."""


def grade_event(type_: str, amr: Collection[str], fallback: str | None) -> Grade | None:
    """A: the subject's own token, two factors or more, a language that was asked for. B: one factor, or another language, or nothing
    was shown. C: imported, or nothing but a license key stands for the subject. None: a note, which is no act of the subject."""
    if type_ == EventType.ANNOTATED:
        return None
    if type_ == EventType.IMPORTED or not set(amr) - {SHARED, MANY}:
        return "C"
    return "A" if MANY in amr and fallback == "none" else "B"


_words = literal(" ", String) + AgreementEvent.amr + literal(" ", String)
_nobody = AgreementEvent.amr.is_(None) | AgreementEvent.amr.in_(["", SHARED, MANY, f"{SHARED} {MANY}", f"{MANY} {SHARED}"])
GRADE: ColumnElement[str | None] = case(
    (AgreementEvent.type == EventType.ANNOTATED, null()),
    ((AgreementEvent.type == EventType.IMPORTED) | _nobody, "C"),
    (_words.contains(f" {MANY} ") & (AgreementEvent.fallback == "none"), "A"),
    else_="B",
).label("grade")
"""`grade` of an event's row, by the database."""
