"""Operators create agreements, drafts and texts, publish them, and cannot change them afterwards."""

from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from app.agreements.models import AgreementEvent, AgreementText, AgreementVersion
from app.events.models import Event
from app.world import World
from tests.agreements import making
from tests.agreements.making import TEXT, days_from_now, status_and_code
from tests.given import Given


async def test_declared_once_for_a_product(given: Given) -> None:
    """One document for each product, kind and region; by default in the product's language."""
    product = await given.product(default_locale="nb")
    draft = await given.post("/v1/agreements", {"product": product["code"], "name": "EULA"})
    assert (draft["kind"], draft["region"], draft["default_locale"], draft["versions"]) == ("eula", "001", "nb", [])
    again = await given.client.post("/v1/agreements", json={"product": product["code"], "name": "Other"}, headers=given.root)
    assert status_and_code(again) == (409, "agreement_exists")
    read = await given.client.get(f"/v1/agreements/{draft['id']}", headers=given.root)
    assert read.json() == draft


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "consent"},
        {"region": "D"},
        {"region": "CA-QUEBEC"},
        {"region": "C\u00c4"},
        {"name": ""},
        {"default_locale": "e"},
        {"required_locales": ["nb", "nb"]},
        {"required_locales": "nb"},
        {"minors": "ask"},
        {"extra": 1},
        {"product": None},
    ],
)
async def test_what_cannot_be_declared(given: Given, body: dict[str, Any]) -> None:
    product = await given.product()
    answer = await given.client.post("/v1/agreements", json={"product": product["code"], "name": "EULA", **body}, headers=given.root)
    assert status_and_code(answer) == (422, "malformed")


async def test_what_is_not_there(given: Given) -> None:
    nobody = UUID(int=7)
    wanted = {
        f"/v1/agreements/{nobody}": "agreement_not_found",
        f"/v1/agreement-versions/{nobody}": "agreement_version_not_found",
        f"/v1/agreement-texts/{nobody}": "agreement_text_not_found",
    }
    for path, result in wanted.items():
        assert status_and_code(await given.client.get(path, headers=given.root if "texts" not in path else {})) == (404, result)
    answer = await given.client.post("/v1/agreements", json={"product": "none", "name": "EULA"}, headers=given.root)
    assert status_and_code(answer) == (404, "product_not_found")
    answer = await given.client.post(f"/v1/agreements/{nobody}/versions", json={"change_class": "material"}, headers=given.root)
    assert status_and_code(answer) == (404, "agreement_not_found")
    assert status_and_code(await making.put_text(given, {"id": nobody}, "en", TEXT)) == (404, "agreement_version_not_found")
    assert status_and_code(await making.publish(given, {"id": nobody})) == (404, "agreement_version_not_found")


async def test_scopes(given: Given) -> None:
    reader = await given.operator("agreements:read")
    agreement = await making.create_agreement(given)
    assert (await given.client.get(f"/v1/agreements/{agreement['id']}", headers=reader)).status_code == 200
    answer = await given.client.post(f"/v1/agreements/{agreement['id']}/versions", json={"change_class": "material"}, headers=reader)
    assert status_and_code(answer) == (403, "scope_missing")


async def test_the_list(given: Given) -> None:
    """Newest first, by product if wanted."""
    first, second = await making.create_agreement(given), await making.create_agreement(given)
    result = (await given.client.get("/v1/agreements", headers=given.root)).json()
    assert [each["id"] for each in result["data"]] == [second["id"], first["id"]]
    result = (await given.client.get("/v1/agreements", params={"product": first["product"]}, headers=given.root)).json()
    assert [each["id"] for each in result["data"]] == [first["id"]]


async def test_r1_the_bytes_served_are_the_bytes_hashed(given: Given) -> None:
    """Agreements R1: NFC, LF, final line end, once at upload; the ETag is the hash of what comes over the wire."""
    agreement = await making.create_agreement(given)
    draft = await making.create_version(given, agreement, body="# Cafe\u0301\r\nzwei\rdrei")
    text = given.expect(await making.publish(given, draft))["texts"][0]
    assert text["body"] == "# Caf\u00e9\nzwei\ndrei\n"
    answer = await given.client.get(f"/v1/agreement-texts/{text['id']}")
    assert answer.content == text["body"].encode()
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.headers["etag"] == f'"{sha256(answer.content).hexdigest()}"' == f'"{text["sha256"]}"'
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-language"] == "en"


async def test_a_text_is_read_once(given: Given) -> None:
    """RFC 9110 section 13.1.2: If-None-Match with the tag, weak or in a list, gets 304 and no body."""
    agreement = await making.create_agreement(given)
    text = (await making.create_published(given, agreement))["texts"][0]
    path, etag = f"/v1/agreement-texts/{text['id']}", f'"{text["sha256"]}"'
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await given.client.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    answer = await given.client.get(path, headers={"If-None-Match": text["sha256"]})
    assert answer.status_code == 200


async def test_a_draft_is_rewritten_freely(given: Given) -> None:
    """A draft's texts are replaced in place and are not public."""
    agreement = await making.create_agreement(given)
    draft = await given.post(f"/v1/agreements/{agreement['id']}/versions", {"change_class": "material", "label": "2026-03"})
    first = given.expect(await making.put_text(given, draft, "zh-hans", TEXT))
    second = given.expect(await making.put_text(given, draft, "zh-Hans", {**TEXT, "body": "Other."}))
    assert (second["id"], second["locale"], second["body"]) == (first["id"], "zh-Hans", "Other.\n")
    assert second["sha256"] != first["sha256"]
    assert status_and_code(await given.client.get(f"/v1/agreement-texts/{first['id']}")) == (404, "agreement_text_not_found")
    read = (await given.client.get(f"/v1/agreement-versions/{draft['id']}", headers=given.root)).json()
    assert (read["state"], read["ordinal"], read["label"], read["texts"]) == ("draft", None, "2026-03", [second])


@pytest.mark.parametrize(
    "body",
    [
        {**TEXT, "statement": " "},
        {**TEXT, "accept_label": ""},
        {**TEXT, "decline_label": "two\nlines"},
        {**TEXT, "body": "nul\u0000"},
        {**TEXT, "html": "<p>"},
        {key: value for key, value in TEXT.items() if key != "statement"},
    ],
)
async def test_what_is_no_text(given: Given, body: dict[str, Any]) -> None:
    """Agreements R4: no text without statement and labels."""
    draft = await given.post(f"/v1/agreements/{(await making.create_agreement(given))['id']}/versions", {"change_class": "material"})
    assert status_and_code(await making.put_text(given, draft, "en", body)) == (422, "malformed")


async def test_r3_published_is_frozen(given: Given) -> None:
    """Agreements R3: a published version accepts a new language, never a changed text; the same text again changes nothing."""
    agreement = await making.create_agreement(given)
    draft = await making.create_published(given, agreement)
    text = draft["texts"][0]
    same = {name: text[name] for name in ("title", "body", "summary", "changes", "statement", "accept_label", "decline_label")}
    for name in ("title", "body", "statement", "accept_label", "decline_label", "summary"):
        assert status_and_code(await making.put_text(given, draft, "en", {**same, name: "Other"})) == (409, "agreement_text_frozen")
    assert given.expect(await making.put_text(given, draft, "en", same)) == text
    added = given.expect(await making.put_text(given, draft, "ru", same))
    assert status_and_code(await making.put_text(given, draft, "ru", {**same, "title": "Other"})) == (409, "agreement_text_frozen")
    read = (await given.client.get(f"/v1/agreement-versions/{draft['id']}", headers=given.root)).json()
    assert read["texts"] == [text, added]


async def test_r4_a_language_that_comes_late_is_as_complete(given: Given) -> None:
    """Agreements R4: a language added after publishing also needs `changes`."""
    agreement = await making.create_agreement(given)
    first = await making.create_published(given, agreement)
    assert (await making.put_text(given, first, "ru", TEXT)).status_code == 200
    second = await making.create_published(given, agreement)
    assert status_and_code(await making.put_text(given, second, "ru", TEXT)) == (409, "agreement_changes_missing")
    assert (await making.put_text(given, second, "ru", {**TEXT, "changes": "This."})).status_code == 200


async def test_r4_publish_refuses(given: Given) -> None:
    """Agreements R4: each reason, and nothing is changed by any."""
    agreement = await making.create_agreement(given)
    editorial = await making.create_version(given, agreement, change_class="editorial")
    assert status_and_code(await making.publish(given, editorial)) == (409, "agreement_first_not_material")
    russian = await making.create_version(given, agreement, "ru")
    assert status_and_code(await making.publish(given, russian)) == (409, "agreement_default_text_missing")
    draft = await making.create_version(given, agreement)
    assert status_and_code(await making.publish(given, draft, effective_at=days_from_now(given, -1))) == (422, "agreement_dates_impossible")
    dates = {"effective_at": days_from_now(given, 2), "grace_until": days_from_now(given, 1)}
    assert status_and_code(await making.publish(given, draft, **dates)) == (422, "agreement_dates_impossible")
    given.expect(await making.publish(given, draft, effective_at=days_from_now(given, 2), grace_until=days_from_now(given, 2)))
    assert status_and_code(await making.publish(given, editorial)) == (409, "agreement_already_scheduled")
    given.clock.forward(days=2)
    silent = await making.create_version(given, agreement, "en", "ru", changes=None)
    refused = await making.publish(given, silent)
    assert status_and_code(refused) == (409, "agreement_changes_missing")
    assert refused.json()["locales"] == ["en", "ru"]
    result = (await given.client.get(f"/v1/agreements/{agreement['id']}", headers=given.root)).json()
    assert sorted(each["state"] for each in result["versions"]) == ["draft", "draft", "draft", "effective"]


async def test_r6_ordinals_and_r7_states(given: Given) -> None:
    """Agreements R6, R7: ordinals count what is published; states follow from the clock alone."""
    agreement = await making.create_agreement(given)
    first = await making.create_published(given, agreement)
    second = await making.create_published(given, agreement, change_class="editorial", effective_at=days_from_now(given, 3))
    assert (first["ordinal"], first["state"], second["ordinal"], second["state"]) == (1, "effective", 2, "scheduled")
    given.clock.forward(days=3)
    result = (await given.client.get(f"/v1/agreements/{agreement['id']}", headers=given.root)).json()
    assert [(each["ordinal"], each["state"]) for each in result["versions"]] == [(2, "effective"), (1, "superseded")]


async def test_publishing_again_is_refused(given: Given) -> None:
    agreement = await making.create_agreement(given)
    draft = await making.create_published(given, agreement)
    assert status_and_code(await making.publish(given, draft)) == (409, "agreement_version_published")


async def test_r6_one_draft_published_by_many(given: Given) -> None:
    """Agreements R6: of sixteen requests one publishes, and one event is recorded."""
    agreement = await making.create_agreement(given)
    draft = await making.create_version(given, agreement)
    answers = await making.run_together(*(making.publish(given, draft) for _ in range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 15
    async with given.world.db.query() as tx:
        events = (await tx.scalars(select(Event.type).where(Event.type == "agreement.published"))).all()
    assert len(events) == 1


async def test_r6_many_drafts_published_at_once(given: Given) -> None:
    """Agreements R6: under the document's lock no ordinal is given twice and none is left out."""
    agreement = await making.create_agreement(given)
    draft = [await making.create_version(given, agreement) for _ in range(8)]
    answers = await making.run_together(*(making.publish(given, each) for each in draft))
    assert sorted(given.expect(answer)["ordinal"] for answer in answers) == [*range(1, 9)]


async def test_writing_and_publishing_take_turns(given: Given) -> None:
    """Agreements R3: a text written during publishing is part of the version or refused."""
    agreement = await making.create_agreement(given)
    draft = await making.create_version(given, agreement)
    writes = [making.put_text(given, draft, "en", {**TEXT, "body": f"Text {number}."}) for number in range(8)]
    answers = await making.run_together(*writes[:4], making.publish(given, draft), *writes[4:])
    assert {answer.status_code for answer in answers} <= {200, 409}
    frozen = given.expect(answers[4])["texts"][0]
    read = (await given.client.get(f"/v1/agreement-versions/{draft['id']}", headers=given.root)).json()
    assert read["texts"] == [frozen]


async def test_r3_the_database_keeps_it_frozen(given: Given, world: World) -> None:
    """Agreements R3: triggers on both databases, in case of direct SQL."""
    agreement = await making.create_agreement(given)
    created = await making.create_published(given, agreement)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    draft = await making.create_version(given, agreement)
    frozen: list[Any] = [
        update(AgreementVersion).where(AgreementVersion.id == UUID(created["id"])).values(label="other"),
        delete(AgreementVersion).where(AgreementVersion.id == UUID(created["id"])),
        update(AgreementText).where(AgreementText.version_id == UUID(created["id"])).values(body="other"),
        update(AgreementText).where(AgreementText.version_id == UUID(draft["id"])).values(version_id=UUID(created["id"]), locale="ru"),
        delete(AgreementText).where(AgreementText.version_id == UUID(created["id"])),
        update(AgreementEvent).values(ordinal=9),
        delete(AgreementEvent),
    ]
    for statement in frozen:
        with pytest.raises(DBAPIError, match="frozen"):
            async with world.db.write() as tx:
                await tx.execute(statement)
    async with world.db.write() as tx:
        await tx.execute(delete(AgreementText).where(AgreementText.version_id == UUID(draft["id"])))
        await tx.execute(delete(AgreementVersion).where(AgreementVersion.id == UUID(draft["id"])))
