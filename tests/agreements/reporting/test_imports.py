"""Imported acceptances: each imported once, marked permanently, judged one by one (agreements R16)."""

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import func, insert, select

from app.agreements.ledger.receipts import decode_claims
from app.agreements.models import AgreementEvent, AgreementImport, AgreementLedger, AgreementState
from app.base.durations import instant_text
from app.db.base import table
from app.events.models import Event
from tests.agreements import making
from tests.agreements.making import Json, status_and_code
from tests.given import Given, Person


def item(given: Given, person: Person, **more: Any) -> Json:
    at = given.clock.now() - timedelta(hours=1)
    return {"user": person.id, "ordinal": 1, "accepted_at": instant_text(at), "external_ref": f"crm-{person.id}", **more}


async def bring(given: Given, agreement: Json, *items: Json) -> httpx.Response:
    return await given.client.post(f"/v1/agreements/{agreement['id']}/imports", json={"data": items}, headers=given.root)


async def import_items(given: Given, agreement: Json, *items: Json) -> Json:
    return given.expect(await bring(given, agreement, *items))


async def create_in_force_since_yesterday(given: Given, *locales: str) -> Json:
    """An agreement with one version, in force for a day."""
    agreement = await making.create_in_force(given, *locales)
    given.clock.forward(days=1)
    return agreement


async def count(given: Given, model: Any = AgreementEvent) -> int:
    async with given.world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(model)) or 0)


async def test_an_import_counts_and_shows(given: Given) -> None:
    """Agreements R16: it allows access and is visible as an import: type, grade C, operator and claims."""
    agreement = await create_in_force_since_yesterday(given)
    person = await given.logged_in()
    one = item(given, person, source="CRM export of 2025")
    body = await import_items(given, agreement, one)
    assert (body["created"], body["replayed"], body["refused"]) == (1, 0, 0)
    [result] = body["data"]
    assert (result["result"], result["external_ref"], result["error"]) == ("created", one["external_ref"], None)
    mine = await making.list_agreements(given, person, agreement)
    assert (mine["compliant"], mine["items"][0]["status"]) == (True, "accepted")
    listed = given.expect(await given.client.get("/v1/agreement-events", headers=given.root))["data"]
    assert [(each["type"], each["grade"], each["actor_type"], each["amr"]) for each in listed] == [("imported", "C", "operator", None)]
    claimed = {"accepted_at": one["accepted_at"], "external_ref": one["external_ref"], "source": one["source"]}
    assert listed[0]["imported"] == claimed
    async with given.world.db.query() as tx:
        event = (await tx.execute(select(AgreementEvent.id, AgreementEvent.receipt, AgreementEvent.actor_id))).one()
        noted = (await tx.execute(select(Event.user_id, Event.actor_id).where(Event.type == "agreement.imported"))).one()
    assert str(event.id) == result["event"]
    claims = decode_claims(event.receipt)
    assert (claims["event"], claims["claims"], claims["seq"], claims["prev"]) == ("imported", claimed, 1, None)
    assert (claims["act"]["type"], claims["at"]) == ("operator", instant_text(given.clock.now()))
    assert not {"amr", "prs", "ctx", "sid_h"} & set(claims)
    assert noted == (UUID(person.id), event.actor_id)


async def test_the_access_decision_lets_an_imported_acceptance_pass(given: Given) -> None:
    """The decision compares one integer, for imports too."""
    product = await given.product(requires=["eula"])
    agreement = await given.post("/v1/agreements", {"product": product["code"], "name": "EULA"})
    await making.create_published(given, agreement)
    given.clock.forward(days=1)
    person = await given.logged_in()
    assert (await given.access(product["code"], person))["code"] == "agreement_required"
    await import_items(given, agreement, item(given, person))
    assert (await given.access(product["code"], person))["allow"] is True


async def test_coverage_counts_imports_apart(given: Given) -> None:
    """Accepted, by evidence of grade C; the user's own acceptance later is the better evidence."""
    agreement = await create_in_force_since_yesterday(given)
    person, other = await given.logged_in(), await given.logged_in()
    await import_items(given, agreement, item(given, person), item(given, other))
    path = f"/v1/agreements/{agreement['id']}/coverage"
    result = given.expect(await given.client.get(path, headers=given.root))
    assert (result["statuses"]["accepted"], result["grades"]) == (2, {"A": 0, "B": 0, "C": 2})
    await making.accept(given, person, agreement)
    result = given.expect(await given.client.get(path, headers=given.root))
    assert (result["statuses"]["accepted"], result["grades"]) == (2, {"A": 0, "B": 1, "C": 1})


async def test_brought_twice(given: Given) -> None:
    """The same reference is the same event; with another content it is refused, in one request as in two."""
    agreement = await create_in_force_since_yesterday(given, "en", "nb")
    person, other = await given.logged_in(), await given.logged_in()
    one = item(given, person)
    [first] = (await import_items(given, agreement, one))["data"]
    again = await import_items(given, agreement, one, one)
    assert [(each["result"], each["event"]) for each in again["data"]] == [("replayed", first["event"])] * 2
    earlier = instant_text(given.clock.now() - timedelta(hours=2))
    for change in ({"user": other.id}, {"accepted_at": earlier}, {"source": "elsewhere"}, {"locale": "nb"}):
        [result] = (await import_items(given, agreement, {**one, **change}))["data"]
        assert (result["result"], result["error"]["code"], result["error"]["pointer"]) == (
            "refused",
            "import_conflict",
            "/data/0/external_ref",
        )
    fresh = item(given, other)
    result = await import_items(given, agreement, fresh, {**fresh, "source": "elsewhere"}, fresh)
    assert [each["result"] for each in result["data"]] == ["created", "refused", "replayed"]
    assert (await count(given), await count(given, AgreementImport)) == (2, 2)


async def test_what_is_refused_and_what_is_not_harmed_by_it(given: Given) -> None:
    """Each item is judged alone and reported by pointer; a refused one stores nothing."""
    agreement = await create_in_force_since_yesterday(given)
    await making.create_published(given, agreement, effective_at=instant_text(given.clock.now() + timedelta(days=7)))
    await making.create_version(given, agreement)
    good, *rest = [await given.person() for _ in range(7)]
    now = given.clock.now()
    old, future = instant_text(now - timedelta(days=1000)), instant_text(now + timedelta(milliseconds=1))
    unknown = Person("01900000-0000-7000-8000-000000000000", "nobody@example.com")
    result = await import_items(
        given,
        agreement,
        item(given, rest[1], accepted_at=future),
        item(given, rest[2], ordinal=2),
        item(given, rest[3], ordinal=3),
        item(given, rest[4], locale="nb"),
        item(given, unknown),
        item(given, good, accepted_at=old),  # given elsewhere, before the text was published here
    )
    assert [(each["error"]["pointer"], each["error"]["code"]) for each in result["data"][:-1]] == [
        ("/data/0/accepted_at", "import_in_future"),
        ("/data/1/ordinal", "import_before_effect"),
        ("/data/2/ordinal", "agreement_version_not_found"),
        ("/data/3/locale", "agreement_text_not_found"),
        ("/data/4/user", "user_not_found"),
    ]
    assert (result["created"], result["refused"], result["data"][-1]["result"]) == (1, 5, "created")
    assert [await count(given, model) for model in (AgreementEvent, AgreementImport, AgreementState, AgreementLedger)] == [1, 1, 1, 1]
    assert (await import_items(given, agreement, item(given, rest[0])))["created"] == 1


async def test_r22_no_import_undoes_a_withdrawal(given: Given) -> None:
    """Agreements R16, R22: only an acceptance given after the withdrawal counts."""
    agreement = await create_in_force_since_yesterday(given)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    async with given.world.db.write() as tx:  # as the service would record it, without a receipt worth its name
        accepted = (await tx.execute(select(*table(AgreementEvent).columns))).one()._mapping
        more = {"id": given.world.entropy.identifier(), "seq": 99, "type": "withdrawn", "presentation_id": None}
        await tx.execute(insert(table(AgreementEvent)).values({**accepted, **more, "at": given.clock.now()}))
    given.clock.forward(hours=2)
    left = given.clock.now() - timedelta(hours=2)
    [result] = (await import_items(given, agreement, item(given, person, accepted_at=instant_text(left))))["data"]
    assert result["error"]["code"] == "import_before_withdrawal"
    [result] = (await import_items(given, agreement, item(given, person, accepted_at=instant_text(left + timedelta(minutes=1)))))["data"]
    assert result["result"] == "created"


async def test_an_import_lowers_nothing(given: Given) -> None:
    """The projection only moves up: an old acceptance imported late is recorded and lowers nothing."""
    agreement = await create_in_force_since_yesterday(given)
    await making.create_published(given, agreement)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    await import_items(given, agreement, item(given, person))
    mine = await making.list_agreements(given, person, agreement)
    assert (mine["compliant"], mine["items"][0]["accepted"]["ordinal"]) == (True, 2)


async def test_a_chain_goes_on_through_imports(given: Given) -> None:
    """Several imports for one user in one request, before and after their own events: one unbroken chain."""
    agreement = await create_in_force_since_yesterday(given)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    result = await import_items(given, agreement, *(item(given, person, external_ref=f"r-{number}") for number in range(3)))
    assert result["created"] == 3
    given.expect(await making.decide(given, person, await making.present(given, person, agreement), "decline"))
    async with given.world.db.query() as tx:
        columns = (AgreementEvent.seq, AgreementEvent.prev_sha256, AgreementEvent.receipt_sha256)
        chain = (await tx.execute(select(*columns).order_by(AgreementEvent.seq))).all()
    assert [row.seq for row in chain] == [1, 2, 3, 4, 5]
    assert [row.prev_sha256 for row in chain[1:]] == [row.receipt_sha256 for row in chain[:-1]]


async def test_imports_that_cross(given: Given) -> None:
    """Many at once with the same people and references in opposite orders, and accepts in between: each is brought once, no request
    waits in a circle."""
    agreement, second = await create_in_force_since_yesterday(given), await making.create_in_force(given)
    given.clock.forward(days=1)
    people = [await given.logged_in() for _ in range(6)]
    items = [item(given, person) for person in people]
    swapped = [{**each, "user": people[-1 - number].id} for number, each in enumerate(items)]
    orders = [(agreement, items), (agreement, items[::-1]), (second, swapped), (second, swapped[::-1])] * 2
    presentation = [await making.present(given, person, agreement) for person in people]
    accepts = [making.decide(given, person, screen) for person, screen in zip(people, presentation, strict=True)]
    answers = await making.run_together(*(bring(given, document, *these) for document, these in orders), *accepts)
    assert Counter(answer.status_code for answer in answers) == {200: len(orders), 201: len(accepts)}
    results = Counter(each["result"] for answer in answers[: len(orders)] for each in answer.json()["data"])
    assert (results["created"], sum(results.values())) == (6, 48)
    assert await count(given, AgreementImport) == 6
    assert await count(given) == 6 + len(accepts)


async def test_r16_only_operators_who_may_write(given: Given) -> None:
    """Agreements R16: end users and read-only keys cannot import."""
    agreement = await create_in_force_since_yesterday(given)
    person = await given.logged_in()
    body = {"data": [item(given, person)]}
    path = f"/v1/agreements/{agreement['id']}/imports"
    assert status_and_code(await given.client.post(path, json=body, headers=person.auth)) == (403, "operator_key_required")
    assert status_and_code(await given.client.post(path, json=body, headers=await given.operator("agreements:read"))) == (
        403,
        "scope_missing",
    )
    assert status_and_code(await given.client.post(f"/v1/agreements/{UUID(int=1)}/imports", json=body, headers=given.root)) == (
        404,
        "agreement_not_found",
    )
    assert await count(given) == 0


async def test_the_form_of_a_request(given: Given) -> None:
    """One to a thousand items, no unknown field; a malformed request imports nothing."""
    agreement = await create_in_force_since_yesterday(given)
    person = await given.logged_in()
    good = item(given, person)
    for data in ([], [good] * 1001, [good, {**good, "ordinal": 0}], [{**good, "at": "now"}], [{**good, "accepted_at": "2026-11-22"}]):
        assert status_and_code(await bring(given, agreement, *data)) == (422, "malformed")
    answer = await bring(given, agreement, good, {**good, "ordinal": "one"})
    assert answer.json()["errors"][0]["pointer"] == "/data/1/ordinal"
    assert await count(given) == 0


async def test_a_thousand_at_once(given: Given) -> None:
    """The maximum of one request, for many users and with an `Idempotency-Key`."""
    agreement = await create_in_force_since_yesterday(given)
    people = [await given.person() for _ in range(10)]
    items = [item(given, people[number % 10], external_ref=f"r-{number}") for number in range(1000)]
    path, headers = f"/v1/agreements/{agreement['id']}/imports", {**given.root, "Idempotency-Key": "one"}
    result = given.expect(await given.client.post(path, json={"data": items}, headers=headers, timeout=60))
    assert result["created"] == 1000
    again = await given.client.post(path, json={"data": items}, headers=headers)
    assert again.json() == result
    assert await count(given) == 1000
