"""The clock turned through an agreement's life, as the decision and the list tell it; and what is published counts at once, everywhere."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import jwt
import pytest

from app.db.database import Database
from app.main import build_app
from app.security.signing import SignerCache
from tests.agreements import acting, making
from tests.given import Given, Person

MINUTE = 1 / 1440


async def seen(given: Given, person: Person, product: str) -> tuple[bool, str, list[str], str | None, str | None]:
    """(allow, code, warnings, check again at, how long the grant lasts) by the decision, as it is now."""
    await given.logged_in(person)
    told = await given.access(product, person)
    exp = jwt.decode(told["grant"], options={"verify_signature": False})["exp"] if told["grant"] else None
    left = None if exp is None else f"{exp - int(given.clock.now().timestamp())} s"
    return told["allow"], told["code"], acting.list_warnings(told), told["check_again_at"], left


async def test_r9_r20_scheduled_effective_grace_over(given: Given) -> None:
    """Agreements R7, R9, R20: nobody flips anything; each boundary is told before it comes, and holds to the millisecond."""
    found = await acting.create_in_force(given)
    product, person = found["product"], await given.logged_in()
    await making.accept(given, person, found)
    takes_effect, grace_ends = making.days_from_now(given, 10 * MINUTE), making.days_from_now(given, 20 * MINUTE)
    await making.create_published(given, found, effective_at=takes_effect, grace_until=grace_ends)
    assert await seen(given, person, product) == (True, "ok", ["agreement_upcoming"], takes_effect, "600 s")
    item = await acting.find_item(given, person, found)
    assert (item["status"], item["current"]["ordinal"], item["upcoming"]["ordinal"]) == ("accepted", 1, 2)
    given.clock.forward(minutes=9, seconds=59.999)
    assert (await seen(given, person, product))[2:4] == (["agreement_upcoming"], takes_effect)
    given.clock.forward(seconds=0.001)
    assert await seen(given, person, product) == (True, "ok", ["agreement_in_grace"], grace_ends, "600 s")
    mine = await making.list_agreements(given, person, found)
    assert (mine["compliant"], mine["valid_until"], mine["items"][0]["grace_until"]) == (False, grace_ends, grace_ends)
    assert (mine["items"][0]["status"], mine["items"][0]["upcoming"]) == ("in_grace", None)
    given.clock.forward(minutes=9, seconds=59.999)
    assert (await seen(given, person, product))[:4] == (True, "ok", ["agreement_in_grace"], grace_ends)
    given.clock.forward(seconds=0.001)
    allow, code, warned, _, grant = await seen(given, person, product)
    assert (allow, code, warned, grant) == (False, "agreement_required", [], None)
    mine = await making.list_agreements(given, person, found)
    assert (mine["compliant"], mine["valid_until"], mine["items"][0]["status"]) == (False, None, "required")
    assert (await making.accept(given, person, found))["compliant"] is True
    assert (await seen(given, person, product))[:3] == (True, "ok", [])


async def test_r9_who_accepted_nothing_has_no_grace(given: Given) -> None:
    """Agreements R9: grace is for those who agreed to an earlier version."""
    found = await acting.create_in_force(given)
    await making.create_published(given, found, grace_until=making.days_from_now(given, 7))
    person = await given.logged_in()
    assert (await seen(given, person, found["product"]))[:2] == (False, "agreement_required")


async def test_r9_no_version_borrows_anothers_grace(given: Given) -> None:
    """Agreements R9: what was ignored until its grace was over is not saved by the next version's."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, found)
    first = making.days_from_now(given, 10 * MINUTE)
    await making.create_published(given, found, grace_until=first)
    given.clock.forward(minutes=1)
    await making.create_published(given, found, grace_until=making.days_from_now(given, 30))
    assert (await seen(given, person, found["product"]))[:4] == (True, "ok", ["agreement_in_grace"], first)
    given.clock.forward(minutes=9)
    assert (await seen(given, person, found["product"]))[:2] == (False, "agreement_required")


async def test_r21_declined_in_grace_and_after_it(given: Given) -> None:
    """Agreements R21: a decline takes nothing away before grace is over; after it, it is the reason; and it is not final."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, found)
    await making.create_published(given, found, grace_until=making.days_from_now(given, 10 * MINUTE))
    given.expect(await making.decide(given, person, await making.present(given, person, found), "decline"))
    assert (await seen(given, person, found["product"]))[:2] == (True, "ok")
    given.clock.forward(minutes=10)
    assert (await seen(given, person, found["product"]))[:2] == (False, "agreement_declined")
    assert (await making.accept(given, person, found))["result"] == "created"
    assert (await seen(given, person, found["product"]))[:2] == (True, "ok")


async def test_r10_accepted_before_its_time(given: Given) -> None:
    """Agreements R10: whoever met the current one may accept the coming one early, and notices nothing when it comes."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, found)
    await making.create_published(given, found, effective_at=making.days_from_now(given, MINUTE))
    assert (await making.accept(given, person, found))["ordinal"] == 2
    assert (await seen(given, person, found["product"]))[2] == []
    given.clock.forward(minutes=1)
    assert (await seen(given, person, found["product"]))[:3] == (True, "ok", [])


@pytest.fixture
async def replica(given: Given, kind: str, tmp_path: Path) -> AsyncIterator[Given]:
    """The same service once more over the same database, sharing nothing else with the first but the clock."""
    url = given.world.db.url
    database = Database.open(url, 5)
    world = replace(given.world, db=database, keys=replace(given.world.keys, signing=SignerCache()))
    transport = httpx.ASGITransport(build_app(world))
    async with httpx.AsyncClient(transport=transport, base_url="http://licentia.test") as client:
        yield Given(client, world, given.clock, given.root)
    await database.close()


async def test_no_answer_survives_a_publish_elsewhere(given: Given, replica: Given) -> None:
    """Published in one replica, asked of the other: the very next decision knows, and so does the list; withdrawn, moved: the same."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, found)
    for it in (given, replica):
        assert (await it.access(found["product"], person))["allow"] is True
    await making.create_published(given, found)
    for it in (replica, given):
        assert (await it.access(found["product"], person))["code"] == "agreement_required"
    assert (await making.list_agreements(replica, person, found))["compliant"] is False
    await making.accept(replica, person, found)
    assert (await given.access(found["product"], person))["allow"] is True
    given.expect(await acting.withdraw(given, person, found))
    assert (await replica.access(found["product"], person))["code"] == "agreement_required"
