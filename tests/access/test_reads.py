"""Reading the facts: at most two statements, no write, and never data from before the request."""

from dataclasses import replace
from typing import Any, cast

import pytest
from fastapi import FastAPI
from sqlalchemy import update

from app.base.clock import Clock
from app.catalog.models import Policy
from app.db.base import table
from app.db.fast_reads import FastReads
from tests.access.scenarios import HERE, allow_access, read_codes
from tests.access.statements import record_statements
from tests.agreements import making
from tests.assertions import problem
from tests.given import Given, Person


async def request_access(given: Given, monkeypatch: pytest.MonkeyPatch, *request: Any, **more: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the decision and its statements, after a first request that fills the caches."""
    await given.access(*request, **more)
    with record_statements(given.world.db, monkeypatch) as statements:
        return await given.access(*request, **more), statements


async def test_all_requirements_take_two_reads_and_no_write(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    document, license_, person = await allow_access(given, lease="P7D", features={"export": True})
    decision, statements = await request_access(
        given, monkeypatch, document["product"], person, license_key=license_["key"], features=["export"], **HERE
    )
    assert decision["grant"]
    assert len(statements) == 2
    assert all(text.startswith("SELECT") for text in statements)


async def test_several_licenses_of_a_user_take_two_reads(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    product = await given.product(requires=["license", "login"])
    policy, person = await given.policy(product), await given.logged_in()
    for _ in range(3):
        await given.license(policy, users=[person.id])
    decision, statements = await request_access(given, monkeypatch, product["code"], person)
    assert (decision["allow"], len(statements)) == (True, 2)


async def test_an_activation_token_takes_two_reads_and_a_key_one(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of the two reads resolves the token."""
    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1))
    seat = Person("", "", token=(await given.activation(license_))["token"])
    decision, statements = await request_access(given, monkeypatch, product["code"], seat)
    assert (decision["allow"], len(statements)) == (True, 2)
    decision, statements = await request_access(given, monkeypatch, product["code"], license_key=license_["key"], **HERE)
    assert (decision["allow"], len(statements)) == (True, 1)
    decision, statements = await request_access(given, monkeypatch, product["code"])
    assert (read_codes(decision), len(statements)) == (["license_not_found"], 1)


async def test_a_lease_is_written_once_after_half_of_it_and_never_on_a_dry_run(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1, lease="PT30M"))
    await given.activation(license_)
    request = {"license_key": license_["key"], **HERE}
    await given.access(product["code"], **request)
    for minutes, dry_run, writes in [(14, False, False), (1, True, False), (0, False, True), (0, False, False), (14, False, False)]:
        given.clock.forward(minutes=minutes)
        with record_statements(given.world.db, monkeypatch) as statements:
            assert (await given.access(product["code"], dry_run=dry_run, **request))["allow"]
        assert any(text.startswith("UPDATE") for text in statements) == writes, minutes


async def test_a_dry_run_of_everything_writes_nothing_and_signs_nothing(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    document, license_, person = await allow_access(given, lease="PT30M")
    given.clock.forward(minutes=20)
    person = await given.logged_in(person)
    with record_statements(given.world.db, monkeypatch) as statements:
        decision = await given.access(document["product"], person, license_key=license_["key"], dry_run=True, nonce="n-2", **HERE)
    assert (decision["allow"], decision["grant"], decision["nonce"]) == (True, None, "n-2")
    assert all(text.startswith("SELECT") for text in statements)


async def test_every_earlier_change_is_seen(given: Given) -> None:
    """Each change is reverted before the next one, so that each is tested alone."""
    document, license_, person = await allow_access(given)
    request = {"license_key": license_["key"], **HERE}
    assert (await given.access(document["product"], person, **request))["allow"]
    await given.post(f"/v1/licenses/{license_['id']}/suspend")
    assert read_codes(await given.access(document["product"], person, **request)) == ["license_suspended"]
    await given.post(f"/v1/licenses/{license_['id']}/reinstate")
    [seat] = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}/activations", headers=given.root))["data"]
    given.expect(await given.client.delete(f"/v1/activations/{seat['id']}", headers=given.root))
    assert read_codes(await given.access(document["product"], person, **request)) == ["not_activated"]
    await given.activation(license_)
    await making.create_published(given, document)
    assert read_codes(await given.access(document["product"], person, **request)) == ["agreement_required"]
    await making.accept(given, person, document)
    assert (await given.access(document["product"], person, **request))["allow"]
    await given.client.post("/v1/logout", headers=person.auth)
    assert read_codes(await given.access(document["product"], person, **request)) == ["login_required"]


async def test_an_unknown_product_is_refused_for_every_caller(given: Given) -> None:
    license_, person = await given.license(), await given.logged_in()
    for headers in ({}, person.auth):
        for more in ({}, {"license_key": license_["key"]}):
            response = await given.client.post("/v1/access", json={"product": "nothing", **more}, headers=headers)
            problem(response, 404, "product_not_found")


async def test_many_agreements_and_languages_are_read_in_one_statement(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    document, license_, person = await allow_access(given)
    notice = await given.post("/v1/agreements", {"product": document["product"], "name": "Privacy", "kind": "notice"})
    await making.create_published(given, notice, "en", "nb")
    await making.create_published(given, document, "en", "nb")
    decision, statements = await request_access(given, monkeypatch, document["product"], person, license_key=license_["key"], **HERE)
    assert read_codes(decision) == ["agreement_required"]
    assert [warning["code"] for warning in decision["warnings"]] == ["agreement_notice"]
    assert decision["agreements"] == {"compliant": False, "outstanding": [{"document": document["id"], "ordinal": 2}]}
    assert len(statements) == 2


async def test_an_internal_error_never_allows(given: Given, app: FastAPI) -> None:
    """An unknown requirement, such as one stored by a later release, and a clock that fails."""
    license_ = await given.license()
    request = {"product": license_["product"], "license_key": license_["key"]}
    assert (await given.client.post("/v1/access", json=request)).json()["allow"]
    async with given.world.db.write() as tx:
        await tx.execute(update(table(Policy)).values(requires=["retina"]))
    problem(await given.client.post("/v1/access", json=request), 500, "internal_error")
    app.state.world = replace(given.world, clock=cast("Clock", None))
    problem(await given.client.post("/v1/access", json=request), 500, "internal_error")


async def test_both_reads_see_one_snapshot(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write between them is seen by neither: a license reinstated after a logout gives no access."""
    product = await given.product(requires=["license", "login"])
    license_ = await given.license(await given.policy(product))
    person = await given.logged_in()
    await given.post(f"/v1/licenses/{license_['id']}/suspend")
    fetch = FastReads._fetch

    async def fetch_then_change(reads: FastReads, pinned: Any, statement: Any, parameters: Any) -> Any:
        rows = await fetch(reads, pinned, statement, parameters)
        if "sessions" in str(statement) and "agreement_documents" in str(statement):
            monkeypatch.setattr(FastReads, "_fetch", fetch)
            given.expect(await given.client.post("/v1/logout", headers=person.auth))
            await given.post(f"/v1/licenses/{license_['id']}/reinstate")
        return rows

    monkeypatch.setattr(FastReads, "_fetch", fetch_then_change)
    decision = await given.access(product["code"], person, license_key=license_["key"])
    assert read_codes(decision) == ["license_suspended"]
    assert read_codes(await given.access(product["code"], person, license_key=license_["key"])) == ["login_required"]
