"""How the facts are read: in two statements at most, without a write, and never from before the call."""

from dataclasses import replace
from typing import Any, cast

import pytest
from fastapi import FastAPI
from sqlalchemy import update

from app.base.clock import Clock
from app.catalog.models import Policy
from app.db.base import table
from app.db.fast_reads import FastReads
from tests.access.statements import seen
from tests.access.test_decision import HERE, allowed, codes
from tests.agreements import making
from tests.assertions import problem
from tests.given import Given, Person


async def told(given: Given, monkeypatch: pytest.MonkeyPatch, *ask: Any, **more: Any) -> tuple[dict[str, Any], list[str]]:
    """The answer, and the statements that it took; everything is warm."""
    await given.access(*ask, **more)
    with seen(given.world.db, monkeypatch) as statements:
        return await given.access(*ask, **more), statements


async def test_all_requirements_take_two_reads_and_no_write(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    found, license_, person = await allowed(given, lease="P7D", features={"export": True})
    answer, statements = await told(given, monkeypatch, found["product"], person, license_key=license_["key"], features=["export"], **HERE)
    assert answer["grant"]
    assert len(statements) == 2
    assert all(text.startswith("SELECT") for text in statements)


async def test_a_users_own_licenses_take_no_more(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    product = await given.product(requires=["license", "login"])
    policy, person = await given.policy(product), await given.logged_in()
    for _ in range(3):
        await given.license(policy, users=[person.id])
    answer, statements = await told(given, monkeypatch, product["code"], person)
    assert (answer["allow"], len(statements)) == (True, 2)


async def test_a_seat_takes_two_reads_a_bare_key_one(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first read of a seat is of its token."""
    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1))
    seat = Person("", "", token=(await given.activation(license_))["token"])
    answer, statements = await told(given, monkeypatch, product["code"], seat)
    assert (answer["allow"], len(statements)) == (True, 2)
    answer, statements = await told(given, monkeypatch, product["code"], license_key=license_["key"], **HERE)
    assert (answer["allow"], len(statements)) == (True, 1)
    answer, statements = await told(given, monkeypatch, product["code"])
    assert (codes(answer), len(statements)) == (["license_not_found"], 1)


async def test_a_lease_is_written_once_when_half_of_it_is_gone_and_never_on_a_dry_run(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1, lease="PT30M"))
    await given.activation(license_)
    ask = {"license_key": license_["key"], **HERE}
    await given.access(product["code"], **ask)
    for minutes, dry_run, writes in [(14, False, False), (1, True, False), (0, False, True), (0, False, False), (14, False, False)]:
        given.clock.forward(minutes=minutes)
        with seen(given.world.db, monkeypatch) as statements:
            assert (await given.access(product["code"], dry_run=dry_run, **ask))["allow"]
        assert any(text.startswith("UPDATE") for text in statements) == writes, minutes


async def test_a_dry_run_of_everything_writes_nothing_and_signs_nothing(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    found, license_, person = await allowed(given, lease="PT30M")
    given.clock.forward(minutes=20)
    person = await given.logged_in(person)
    with seen(given.world.db, monkeypatch) as statements:
        told = await given.access(found["product"], person, license_key=license_["key"], dry_run=True, nonce="n-2", **HERE)
    assert (told["allow"], told["grant"], told["nonce"]) == (True, None, "n-2")
    assert all(text.startswith("SELECT") for text in statements)


async def test_whatever_was_answered_before_is_seen(given: Given) -> None:
    """Each change is taken back before the next one, so that each is seen by itself."""
    found, license_, person = await allowed(given)
    ask = {"license_key": license_["key"], **HERE}
    assert (await given.access(found["product"], person, **ask))["allow"]
    await given.post(f"/v1/licenses/{license_['id']}/suspend")
    assert codes(await given.access(found["product"], person, **ask)) == ["license_suspended"]
    await given.post(f"/v1/licenses/{license_['id']}/reinstate")
    [seat] = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}/activations", headers=given.root))["data"]
    given.expect(await given.client.delete(f"/v1/activations/{seat['id']}", headers=given.root))
    assert codes(await given.access(found["product"], person, **ask)) == ["not_activated"]
    await given.activation(license_)
    await making.create_published(given, found)
    assert codes(await given.access(found["product"], person, **ask)) == ["agreement_required"]
    await making.accept(given, person, found)
    assert (await given.access(found["product"], person, **ask))["allow"]
    await given.client.post("/v1/logout", headers=person.auth)
    assert codes(await given.access(found["product"], person, **ask)) == ["login_required"]


async def test_an_unknown_product_is_told_whoever_asks(given: Given) -> None:
    license_, person = await given.license(), await given.logged_in()
    for headers in ({}, person.auth):
        for more in ({}, {"license_key": license_["key"]}):
            answer = await given.client.post("/v1/access", json={"product": "nothing", **more}, headers=headers)
            problem(answer, 404, "product_not_found")


async def test_a_product_with_many_agreements_and_languages_is_read_whole(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    found, license_, person = await allowed(given)
    notice = await given.post("/v1/agreements", {"product": found["product"], "name": "Privacy", "kind": "notice"})
    await making.create_published(given, notice, "en", "nb")
    await making.create_published(given, found, "en", "nb")
    answer, statements = await told(given, monkeypatch, found["product"], person, license_key=license_["key"], **HERE)
    assert codes(answer) == ["agreement_required"]
    assert [warned["code"] for warned in answer["warnings"]] == ["agreement_notice"]
    assert answer["agreements"] == {"compliant": False, "outstanding": [{"document": found["id"], "ordinal": 2}]}
    assert len(statements) == 2


async def test_an_error_inside_is_no_answer(given: Given, app: FastAPI) -> None:
    """A requirement that nobody knows, in a row of a later release, say; and a clock that fails."""
    license_ = await given.license()
    ask = {"product": license_["product"], "license_key": license_["key"]}
    assert (await given.client.post("/v1/access", json=ask)).json()["allow"]
    async with given.world.db.write() as tx:
        await tx.execute(update(table(Policy)).values(requires=["retina"]))
    problem(await given.client.post("/v1/access", json=ask), 500, "internal_error")
    app.state.world = replace(given.world, clock=cast("Clock", None))
    problem(await given.client.post("/v1/access", json=ask), 500, "internal_error")


async def test_both_reads_are_of_one_moment(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written between them is not seen by half: a license that comes back after a logout lets nobody in."""
    product = await given.product(requires=["license", "login"])
    license_ = await given.license(await given.policy(product))
    person = await given.logged_in()
    await given.post(f"/v1/licenses/{license_['id']}/suspend")
    found = FastReads._fetch

    async def between(lane: FastReads, kept: Any, statement: Any, parameters: Any) -> Any:
        rows = await found(lane, kept, statement, parameters)
        if "sessions" in str(statement) and "agreement_documents" in str(statement):
            monkeypatch.setattr(FastReads, "_fetch", found)
            given.expect(await given.client.post("/v1/logout", headers=person.auth))
            await given.post(f"/v1/licenses/{license_['id']}/reinstate")
        return rows

    monkeypatch.setattr(FastReads, "_fetch", between)
    told = await given.access(product["code"], person, license_key=license_["key"])
    assert codes(told) == ["license_suspended"]
    assert codes(await given.access(product["code"], person, license_key=license_["key"])) == ["login_required"]
