"""The operator compares two versions in one language, before publishing or after."""

from typing import Any

import httpx

from tests.agreements import making
from tests.agreements.making import TEXT, days_from_now, status_and_code
from tests.given import Given


async def diff(given: Given, made: dict[str, Any], **query: str) -> httpx.Response:
    return await given.client.get(f"/v1/agreement-versions/{made['id']}/diff", params=query, headers=given.root)


async def written(given: Given, found: dict[str, Any], body: str, *locales: str, **more: Any) -> dict[str, Any]:
    return await making.create_version(given, found, *locales, **{"body": body, "changes": "Some.", **more})


async def published(given: Given, found: dict[str, Any], body: str, *locales: str, **more: Any) -> dict[str, Any]:
    return given.expect(await making.publish(given, await written(given, found, body, *locales), **more))


async def test_a_draft_against_the_version_before(given: Given) -> None:
    """Absent `against` and `locale`: what is published last, and the default language. All that people see is compared."""
    found = await making.create_agreement(given)
    await published(given, found, "# Zero")
    first = await published(given, found, "# Terms\n\nYou must be kind.\n\nAlways.")
    body = "# Terms\n\nYou should be kind.\n\nAlways.\n\nEverywhere."
    made = await written(given, found, body, statement="I agree.", accept_label="Yes", changes="Milder.")
    told = given.expect(await diff(given, made))
    assert (told["locale"], told["same"]) == ("en", False)
    assert (told["before"]["version"], told["before"]["ordinal"], told["before"]["state"]) == (first["id"], 2, "effective")
    assert (told["after"]["version"], told["after"]["ordinal"], told["after"]["state"]) == (made["id"], None, "draft")
    assert told["before"]["sha256"] == first["texts"][0]["sha256"]
    assert [(it["op"], it["before"], it["after"]) for it in told["body"]] == [
        ("equal", "# Terms\n\n", "# Terms\n\n"),
        ("replace", "You must be kind.\n", "You should be kind.\n"),
        ("equal", "\nAlways.\n", "\nAlways.\n"),
        ("insert", None, "\nEverywhere.\n"),
    ]
    words = [(it["op"], it["before"], it["after"]) for it in told["body"][1]["words"]]
    assert words == [("equal", "You ", "You "), ("replace", "must", "should"), ("equal", " be kind.\n", " be kind.\n")]
    assert told["unified"].startswith(f"--- {first['id']}\n+++ {made['id']}\n@@ -1,5 +1,7 @@\n")
    assert {"-You must be kind.", "+You should be kind.", "+Everywhere."} <= set(told["unified"].split("\n"))
    assert told["fields"] == [
        {"field": "changes", "before": "Some.", "after": "Milder."},
        {"field": "statement", "before": TEXT["statement"], "after": "I agree."},
        {"field": "accept_label", "before": TEXT["accept_label"], "after": "Yes"},
    ]


async def test_any_two_versions_in_any_language(given: Given) -> None:
    """Against one that is named: an older one, a cancelled one, another region's, itself."""
    found = await making.create_agreement(given)
    first = await published(given, found, "Первый.\n\nОбщее.", "en", "ru")
    gone = await published(given, found, "Второй.\n\nОбщее.", "en", "ru", effective_at=days_from_now(given, 3))
    given.expect(await making.cancel(given, gone))
    last = await published(given, found, "Третий.\n\nОбщее.", "en", "ru")
    elsewhere = await given.post("/v1/agreements", {"product": found["product"], "name": "EULA", "region": "EU"})
    other = await published(given, elsewhere, "Первый.\n\nОбщее.", "ru", "en")
    assert given.expect(await diff(given, last))["before"]["version"] == first["id"]
    assert given.expect(await diff(given, gone))["before"]["version"] == first["id"]
    for against, word in ((first, "Первый"), (gone, "Второй"), (other, "Первый")):
        told = given.expect(await diff(given, last, against=against["id"], locale="RU"))
        assert (told["locale"], told["same"]) == ("ru", False)
        assert f"-{word}.\n+Третий.\n" in told["unified"]
    told = given.expect(await diff(given, last, against=last["id"]))
    assert (told["same"], told["unified"], told["fields"], [it["op"] for it in told["body"]]) == (True, "", [], ["equal"])


async def test_what_cannot_be_compared(given: Given) -> None:
    """No version before, no such version, no text in that language on one of the sides."""
    found = await making.create_agreement(given)
    first = await published(given, found, "One.")
    assert status_and_code(await diff(given, first)) == (409, "agreement_version_first")
    nobody = {"id": "00000000-0000-0000-0000-000000000007"}
    assert status_and_code(await diff(given, nobody)) == (404, "agreement_version_not_found")
    assert status_and_code(await diff(given, first, against=nobody["id"])) == (404, "agreement_version_not_found")
    second = await written(given, found, "Two.", "en", "nb")
    refused = await diff(given, second, locale="nb")
    assert status_and_code(refused) == (404, "agreement_text_not_found")
    assert (refused.json()["version"], refused.json()["locale"]) == (first["id"], "nb")
    assert status_and_code(await diff(given, first, against=second["id"], locale="nb")) == (404, "agreement_text_not_found")
    assert status_and_code(await diff(given, second, locale="n")) == (422, "malformed")
    answer = await given.client.get(f"/v1/agreement-versions/{second['id']}/diff")
    assert status_and_code(answer) == (401, "unauthenticated")
