"""Grades an event as evidence (agreements, "The record"). A grade is computed on reading, never stored.

The rule exists twice: in Python for single events, and in SQL for counts over millions of events. A test compares both.
"""

from collections.abc import Collection
from typing import Literal

from sqlalchemy import ColumnElement, String, case, literal, null

from app.agreements.models import AgreementEvent, EventType

Grade = Literal["A", "B", "C"]
MANY = "mfa"
"""The `amr` value for more than one factor (RFC 8176 section 2)."""
SHARED = "lic"
"""Our own `amr` value for a license key. Several people may know the key, so it does not identify a person."""


def grade_event(type_: str, amr: Collection[str], fallback: str | None) -> Grade | None:
    """Grade an event by the session's factors and the language shown.

    A: the end user's own token with two factors, and a requested language. B: one factor, another language, or no text shown.
    C: imported, or a license key alone. None: a note, which is not the end user's act.
    """
    if type_ == EventType.ANNOTATED:
        return None
    if type_ == EventType.IMPORTED or not set(amr) - {SHARED, MANY}:
        return "C"
    return "A" if MANY in amr and fallback == "none" else "B"


_padded_amr = literal(" ", String) + AgreementEvent.amr + literal(" ", String)
_identifies_no_person = AgreementEvent.amr.is_(None) | AgreementEvent.amr.in_(["", SHARED, MANY, f"{SHARED} {MANY}", f"{MANY} {SHARED}"])
GRADE: ColumnElement[str | None] = case(
    (AgreementEvent.type == EventType.ANNOTATED, null()),
    ((AgreementEvent.type == EventType.IMPORTED) | _identifies_no_person, "C"),
    (_padded_amr.contains(f" {MANY} ") & (AgreementEvent.fallback == "none"), "A"),
    else_="B",
).label("grade")
"""The same rule as `grade_event`, as a SQL expression over a row."""
