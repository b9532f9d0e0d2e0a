"""The evidence grade (agreements section 2.2): by value and by SQL, with equal results."""

from itertools import product

import pytest
from sqlalchemy import insert, select

from app.agreements.grades import GRADE, grade_event
from app.agreements.models import AgreementEvent, EventType
from app.db.base import table
from tests.agreements import making
from tests.given import Given

AMR = ((), ("pwd",), ("pwd", "otp", "mfa"), ("pwd", "rc", "mfa"), ("lic",), ("pwd", "lic"), ("mfa",), ("lic", "mfa"))
FALLBACKS = ("none", "language", "default", None)


@pytest.mark.parametrize(
    ("type_", "amr", "fallback", "wanted"),
    [
        ("accepted", ("pwd", "otp", "mfa"), "none", "A"),
        ("accepted", ("pwd",), "none", "B"),
        ("accepted", ("pwd", "otp", "mfa"), "language", "B"),
        ("accepted", ("pwd", "otp", "mfa"), "default", "B"),
        ("declined", ("pwd", "otp", "mfa"), "none", "A"),
        ("withdrawn", ("pwd", "otp", "mfa"), None, "B"),
        ("accepted", ("lic",), "none", "C"),
        ("imported", (), None, "C"),
        ("imported", ("pwd", "otp", "mfa"), "none", "C"),
        ("annotated", (), None, None),
    ],
)
def test_the_grade_by_the_rule(type_: str, amr: tuple[str, ...], fallback: str | None, wanted: str | None) -> None:
    assert grade_event(type_, amr, fallback) == wanted


async def test_sql_and_python_give_the_same_grade(given: Given) -> None:
    """Every type with every combination of factors and fallback, as rows and as values."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    cases = list(product(EventType, (*AMR, None), FALLBACKS))
    async with given.world.db.write() as tx:
        draft = (await tx.execute(select(*table(AgreementEvent).columns))).one()._mapping
        rows = [
            {**draft, "id": given.world.entropy.identifier(), "seq": 2 + place, "presentation_id": None, "type": type_}
            | {"amr": None if amr is None else " ".join(amr), "fallback": fallback}
            for place, (type_, amr, fallback) in enumerate(cases)
        ]
        await tx.execute(insert(table(AgreementEvent)), rows)
    async with given.world.db.query() as tx:
        result = (await tx.scalars(select(GRADE).where(AgreementEvent.seq > 1).order_by(AgreementEvent.seq))).all()
    assert list(result) == [grade_event(type_, amr or (), fallback) for type_, amr, fallback in cases]
