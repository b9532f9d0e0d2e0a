"""Operators compare two versions in one language, before or after publishing."""

from typing import Any

import httpx

from tests.agreements import making
from tests.agreements.making import TEXT, days_from_now, status_and_code
from tests.given import Given


async def diff(given: Given, draft: dict[str, Any], **query: str) -> httpx.Response:
    return await given.client.get(f"/v1/agreement-versions/{draft['id']}/diff", params=query, headers=given.root)


async def create_with_body(given: Given, agreement: dict[str, Any], body: str, *locales: str, **more: Any) -> dict[str, Any]:
    return await making.create_version(given, agreement, *locales, **{"body": body, "changes": "Some.", **more})


async def publish_with_body(given: Given, agreement: dict[str, Any], body: str, *locales: str, **more: Any) -> dict[str, Any]:
    return given.expect(await making.publish(given, await create_with_body(given, agreement, body, *locales), **more))


async def test_a_draft_against_the_version_before(given: Given) -> None:
    """Absent `against` and `locale`: the latest published version and the default language. All fields are compared."""
    agreement = await making.create_agreement(given)
    await publish_with_body(given, agreement, "# Zero")
    first = await publish_with_body(given, agreement, "# Terms\n\nYou must be kind.\n\nAlways.")
    body = "# Terms\n\nYou should be kind.\n\nAlways.\n\nEverywhere."
    draft = await create_with_body(given, agreement, body, statement="I agree.", accept_label="Yes", changes="Milder.")
    result = given.expect(await diff(given, draft))
    assert (result["locale"], result["same"]) == ("en", False)
    assert (result["before"]["version"], result["before"]["ordinal"], result["before"]["state"]) == (first["id"], 2, "effective")
    assert (result["after"]["version"], result["after"]["ordinal"], result["after"]["state"]) == (draft["id"], None, "draft")
    assert result["before"]["sha256"] == first["texts"][0]["sha256"]
    assert [(each["op"], each["before"], each["after"]) for each in result["body"]] == [
        ("equal", "# Terms\n\n", "# Terms\n\n"),
        ("replace", "You must be kind.\n", "You should be kind.\n"),
        ("equal", "\nAlways.\n", "\nAlways.\n"),
        ("insert", None, "\nEverywhere.\n"),
    ]
    words = [(each["op"], each["before"], each["after"]) for each in result["body"][1]["words"]]
    assert words == [("equal", "You ", "You "), ("replace", "must", "should"), ("equal", " be kind.\n", " be kind.\n")]
    assert result["unified"].startswith(f"--- {first['id']}\n+++ {draft['id']}\n@@ -1,5 +1,7 @@\n")
    assert {"-You must be kind.", "+You should be kind.", "+Everywhere."} <= set(result["unified"].split("\n"))
    assert result["fields"] == [
        {"field": "changes", "before": "Some.", "after": "Milder."},
        {"field": "statement", "before": TEXT["statement"], "after": "I agree."},
        {"field": "accept_label", "before": TEXT["accept_label"], "after": "Yes"},
    ]


async def test_any_two_versions_in_any_language(given: Given) -> None:
    """Against a given version: an older one, a cancelled one, another region's, itself."""
    agreement = await making.create_agreement(given)
    first = await publish_with_body(given, agreement, "Первый.\n\nОбщее.", "en", "ru")
    gone = await publish_with_body(given, agreement, "Второй.\n\nОбщее.", "en", "ru", effective_at=days_from_now(given, 3))
    given.expect(await making.cancel(given, gone))
    last = await publish_with_body(given, agreement, "Третий.\n\nОбщее.", "en", "ru")
    elsewhere = await given.post("/v1/agreements", {"product": agreement["product"], "name": "EULA", "region": "EU"})
    other = await publish_with_body(given, elsewhere, "Первый.\n\nОбщее.", "ru", "en")
    assert given.expect(await diff(given, last))["before"]["version"] == first["id"]
    assert given.expect(await diff(given, gone))["before"]["version"] == first["id"]
    for against, word in ((first, "Первый"), (gone, "Второй"), (other, "Первый")):
        result = given.expect(await diff(given, last, against=against["id"], locale="RU"))
        assert (result["locale"], result["same"]) == ("ru", False)
        assert f"-{word}.\n+Третий.\n" in result["unified"]
    result = given.expect(await diff(given, last, against=last["id"]))
    assert (result["same"], result["unified"], result["fields"], [each["op"] for each in result["body"]]) == (True, "", [], ["equal"])


async def test_what_cannot_be_compared(given: Given) -> None:
    """No version before, no such version, no text in that language on one of the sides."""
    agreement = await making.create_agreement(given)
    first = await publish_with_body(given, agreement, "One.")
    assert status_and_code(await diff(given, first)) == (409, "agreement_version_first")
    nobody = {"id": "00000000-0000-0000-0000-000000000007"}
    assert status_and_code(await diff(given, nobody)) == (404, "agreement_version_not_found")
    assert status_and_code(await diff(given, first, against=nobody["id"])) == (404, "agreement_version_not_found")
    second = await create_with_body(given, agreement, "Two.", "en", "nb")
    refused = await diff(given, second, locale="nb")
    assert status_and_code(refused) == (404, "agreement_text_not_found")
    assert (refused.json()["version"], refused.json()["locale"]) == (first["id"], "nb")
    assert status_and_code(await diff(given, first, against=second["id"], locale="nb")) == (404, "agreement_text_not_found")
    assert status_and_code(await diff(given, second, locale="n")) == (422, "malformed")
    answer = await given.client.get(f"/v1/agreement-versions/{second['id']}/diff")
    assert status_and_code(answer) == (401, "unauthenticated")
