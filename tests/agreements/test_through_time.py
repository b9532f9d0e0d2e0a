"""An agreement over time, in the access decision and the list; publishing takes effect at once in every replica."""

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


async def decide_access(given: Given, person: Person, product: str) -> tuple[bool, str, list[str], str | None, str | None]:
    """(allow, code, warnings, check again at, how long the grant lasts) from the access decision now."""
    await given.logged_in(person)
    result = await given.access(product, person)
    exp = jwt.decode(result["grant"], options={"verify_signature": False})["exp"] if result["grant"] else None
    left = None if exp is None else f"{exp - int(given.clock.now().timestamp())} s"
    return result["allow"], result["code"], acting.list_warnings(result), result["check_again_at"], left


async def test_r9_r20_scheduled_effective_grace_over(given: Given) -> None:
    """Agreements R7, R9, R20: no job changes states; each boundary is announced before and is exact to the millisecond."""
    agreement = await acting.create_in_force(given)
    product, person = agreement["product"], await given.logged_in()
    await making.accept(given, person, agreement)
    takes_effect, grace_ends = making.days_from_now(given, 10 * MINUTE), making.days_from_now(given, 20 * MINUTE)
    await making.create_published(given, agreement, effective_at=takes_effect, grace_until=grace_ends)
    assert await decide_access(given, person, product) == (True, "ok", ["agreement_upcoming"], takes_effect, "600 s")
    item = await acting.find_item(given, person, agreement)
    assert (item["status"], item["current"]["ordinal"], item["upcoming"]["ordinal"]) == ("accepted", 1, 2)
    given.clock.forward(minutes=9, seconds=59.999)
    assert (await decide_access(given, person, product))[2:4] == (["agreement_upcoming"], takes_effect)
    given.clock.forward(seconds=0.001)
    assert await decide_access(given, person, product) == (True, "ok", ["agreement_in_grace"], grace_ends, "600 s")
    mine = await making.list_agreements(given, person, agreement)
    assert (mine["compliant"], mine["valid_until"], mine["items"][0]["grace_until"]) == (False, grace_ends, grace_ends)
    assert (mine["items"][0]["status"], mine["items"][0]["upcoming"]) == ("in_grace", None)
    given.clock.forward(minutes=9, seconds=59.999)
    assert (await decide_access(given, person, product))[:4] == (True, "ok", ["agreement_in_grace"], grace_ends)
    given.clock.forward(seconds=0.001)
    allow, code, warned, _, grant = await decide_access(given, person, product)
    assert (allow, code, warned, grant) == (False, "agreement_required", [], None)
    mine = await making.list_agreements(given, person, agreement)
    assert (mine["compliant"], mine["valid_until"], mine["items"][0]["status"]) == (False, None, "required")
    assert (await making.accept(given, person, agreement))["compliant"] is True
    assert (await decide_access(given, person, product))[:3] == (True, "ok", [])


async def test_r9_who_accepted_nothing_has_no_grace(given: Given) -> None:
    """Agreements R9: grace is for those who agreed to an earlier version."""
    agreement = await acting.create_in_force(given)
    await making.create_published(given, agreement, grace_until=making.days_from_now(given, 7))
    person = await given.logged_in()
    assert (await decide_access(given, person, agreement["product"]))[:2] == (False, "agreement_required")


async def test_r9_no_version_borrows_anothers_grace(given: Given) -> None:
    """Agreements R9: a version ignored until its grace ended is not covered by the next version's grace."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    first = making.days_from_now(given, 10 * MINUTE)
    await making.create_published(given, agreement, grace_until=first)
    given.clock.forward(minutes=1)
    await making.create_published(given, agreement, grace_until=making.days_from_now(given, 30))
    assert (await decide_access(given, person, agreement["product"]))[:4] == (True, "ok", ["agreement_in_grace"], first)
    given.clock.forward(minutes=9)
    assert (await decide_access(given, person, agreement["product"]))[:2] == (False, "agreement_required")


async def test_r21_declined_in_grace_and_after_it(given: Given) -> None:
    """Agreements R21: a decline denies nothing during grace; afterwards it is the reason; and it is not final."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    await making.create_published(given, agreement, grace_until=making.days_from_now(given, 10 * MINUTE))
    given.expect(await making.decide(given, person, await making.present(given, person, agreement), "decline"))
    assert (await decide_access(given, person, agreement["product"]))[:2] == (True, "ok")
    given.clock.forward(minutes=10)
    assert (await decide_access(given, person, agreement["product"]))[:2] == (False, "agreement_declined")
    assert (await making.accept(given, person, agreement))["result"] == "created"
    assert (await decide_access(given, person, agreement["product"]))[:2] == (True, "ok")


async def test_r10_accepted_before_its_time(given: Given) -> None:
    """Agreements R10: a user who accepted the current one may accept the upcoming one early, and keeps access when it takes effect."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    await making.create_published(given, agreement, effective_at=making.days_from_now(given, MINUTE))
    assert (await making.accept(given, person, agreement))["ordinal"] == 2
    assert (await decide_access(given, person, agreement["product"]))[2] == []
    given.clock.forward(minutes=1)
    assert (await decide_access(given, person, agreement["product"]))[:3] == (True, "ok", [])


@pytest.fixture
async def replica(given: Given, kind: str, tmp_path: Path) -> AsyncIterator[Given]:
    """A second instance of the service on the same database and clock."""
    url = given.world.db.url
    database = Database.open(url, 5)
    world = replace(given.world, db=database, keys=replace(given.world.keys, signing=SignerCache()))
    transport = httpx.ASGITransport(build_app(world))
    async with httpx.AsyncClient(transport=transport, base_url="http://licentia.test") as client:
        yield Given(client, world, given.clock, given.root)
    await database.close()


async def test_no_answer_survives_a_publish_elsewhere(given: Given, replica: Given) -> None:
    """Publishing, withdrawal or a new region in one replica: the other's next decision and list know it."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    for each in (given, replica):
        assert (await each.access(agreement["product"], person))["allow"] is True
    await making.create_published(given, agreement)
    for each in (replica, given):
        assert (await each.access(agreement["product"], person))["code"] == "agreement_required"
    assert (await making.list_agreements(replica, person, agreement))["compliant"] is False
    await making.accept(replica, person, agreement)
    assert (await given.access(agreement["product"], person))["allow"] is True
    given.expect(await acting.withdraw(given, person, agreement))
    assert (await replica.access(agreement["product"], person))["code"] == "agreement_required"
