"""Who may decide at all, in which language first, and of which version: each rule with its own code, and nothing stored."""

from collections.abc import Mapping

import jwt
import pytest

from tests.agreements import acting, making
from tests.agreements.making import Json, status_and_code
from tests.given import Given, Person


def path(shown: Json) -> str:
    return f"/v1/me/presentations/{shown['id']}/decision"


def said(shown: Json) -> Json:
    return {"decision": "accept", "text_sha256": shown["text"]["sha256"]}


async def test_r15_only_json(given: Given) -> None:
    """Agreements R15: a form, a bare `true`, nothing at all, or words in the address: none of it accepts."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    shown = await making.present(given, person, found)
    post = given.client.post
    assert status_and_code(await post(path(shown), data=said(shown), headers=person.auth)) == (422, "malformed")
    assert status_and_code(await post(path(shown), json=True, headers=person.auth)) == (422, "malformed")
    assert status_and_code(await post(path(shown), json=[said(shown)], headers=person.auth)) == (422, "malformed")
    assert status_and_code(await post(path(shown), headers=person.auth)) == (422, "malformed")
    assert status_and_code(await post(path(shown), params=said(shown), headers=person.auth)) == (422, "malformed")
    assert await acting.count_events(given) == 0
    given.expect(await post(path(shown), json=said(shown), headers=person.auth))


async def test_r15_no_other_method_and_no_cookie(given: Given) -> None:
    """Agreements R15: only POST, only with the token in its header."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    shown = await making.present(given, person, found)
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert status_and_code(await given.client.request(method, path(shown), params=said(shown), headers=person.auth)) == (
            405,
            "method_not_allowed",
        )
    cookies = {"Cookie": f"access_token={person.token}; Authorization=Bearer {person.token}"}
    assert status_and_code(await given.client.post(path(shown), json=said(shown), headers=cookies)) == (401, "unauthenticated")
    assert await acting.count_events(given) == 0


async def strangers(given: Given, person: Person) -> Mapping[str, dict[str, str]]:
    """Everybody who has a good credential but is not the end user: operators, a seat of this very user, a login half done."""
    product = await given.product()
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=1, max_users=1), users=[person.id])
    body = {"license_key": license_["key"], "device": {"fingerprint": "laptop"}}
    seat = await given.post("/v1/activations", body, person.auth)
    half = await given.with_totp()
    return {
        "root": given.root,
        "operator": await given.operator("agreements:write", "users:write"),
        "seat": {"Authorization": f"Bearer {seat['token']}"},
        "unfinished": await given.begin(half),
    }


async def test_r16_nobody_else_decides(given: Given) -> None:
    """Agreements R16: neither presents nor claims nor decides nor withdraws, and nothing is stored."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    shown = await making.present(given, person, found)
    calls = {
        f"/v1/me/agreements/{found['id']}/presentations": {},
        path(shown): said(shown),
        f"/v1/me/agreements/{found['id']}/withdrawal": {},
    }
    for name, headers in (await strangers(given, person)).items():
        for where, body in calls.items():
            answer = await given.client.post(where, json=body, headers=headers)
            assert status_and_code(answer) == (403, "subject_token_required"), (name, where)
        answer = await given.client.patch(f"/v1/me/presentations/{shown['id']}", json={}, headers=headers)
        assert status_and_code(answer) == (403, "subject_token_required"), name
    assert await acting.count_events(given) == 0


async def test_r16_a_session_that_was_ended_accepts_nothing(given: Given) -> None:
    """Agreements R14, R16: only the living token decides, and not even the same person in another session on what this one was shown."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    shown = await making.present(given, person, found)
    await given.client.post("/v1/logout", headers=person.auth)
    assert (await making.decide(given, person, shown)).status_code == 401
    assert await acting.count_events(given) == 0
    await given.logged_in(person)
    assert status_and_code(await making.decide(given, person, shown)) == (409, "presentation_elsewhere")
    given.expect(await making.decide(given, person, await making.present(given, person, found)))


@pytest.mark.parametrize(
    ("minors", "band", "refused"),
    [
        ("allow", "minor", None),
        ("require_guardian", "minor", "guardian_required"),
        ("deny", "minor", "minors_denied"),
        ("require_guardian", "adult", None),
        ("deny", "unknown", None),
    ],
)
async def test_r13_minors(given: Given, minors: str, band: str, refused: str | None) -> None:
    """Agreements R13: by the document's word and the stored age band; declining is always allowed; the receipt says in which capacity."""
    found = await acting.create_in_force(given, minors=minors)
    person = await given.logged_in(age_band=band)
    answer = await making.decide(given, person, await making.present(given, person, found))
    if refused is None:
        assert answer.status_code == 201
    else:
        assert status_and_code(answer) == (403, refused)
        assert await acting.count_events(given) == 0
        given.expect(await making.decide(given, person, await making.present(given, person, found), "decline"))
    capacity = {"adult": "adult", "minor": "minor_self", "unknown": "unknown"}[band]
    assert (await acting.read_last_claims(given, person))["capacity"] == capacity


@pytest.mark.parametrize(
    ("required", "first", "more", "good"),
    [
        (["fr"], "fr-CA", (), True),
        (["fr"], "fr", (), True),
        (["de", "fr"], "fr-CA", ("de",), True),
        (["fr-CA"], "fr", ("fr-CA",), False),
        (["nl"], "fr-CA", ("nl",), False),
        (["zh-Hant"], "zh-CN", ("zh-Hant",), False),
        (["zh"], "zh-CN", (), True),
        (["nb"], "no", (), True),
    ],
)
async def test_r18_a_language_that_the_law_demands(
    given: Given, required: list[str], first: str, more: tuple[str, ...], good: bool
) -> None:
    """Agreements R18: the text in one of them must have been shown to this user, of this version, whichever is accepted then."""
    found = await acting.create_in_force(given, "en", first, *more, required_locales=required)
    person, other = await given.logged_in(), await given.logged_in()
    english = await making.present(given, person, found, locale="en")
    await making.present(given, other, found, locale=first)  # somebody else's screen shows nothing to this one
    refused = await making.decide(given, person, english)
    assert status_and_code(refused) == (409, "required_locale_not_presented")
    assert refused.json()["locales"] == required
    assert await acting.count_events(given) == 0
    await making.present(given, person, found, locale=first)
    answer = await making.decide(given, person, english)
    assert answer.status_code == (201 if good else 409)
    if good:
        assert (await acting.read_last_claims(given, person))["locale"] == "en"


async def test_r18_another_versions_showing_is_none(given: Given) -> None:
    """Agreements R18: the language is required of each version; declining needs none."""
    found = await acting.create_in_force(given, "en", "fr", required_locales=["fr"])
    person = await given.logged_in()
    given.expect(await making.decide(given, person, await making.present(given, person, found, locale="fr")))
    await making.create_published(given, found, "en", "fr")
    english = await making.present(given, person, found, locale="en")
    assert status_and_code(await making.decide(given, person, english)) == (409, "required_locale_not_presented")
    given.expect(await making.decide(given, person, english, "decline"))
    french = await making.present(given, person, found, locale="fr")
    assert given.expect(await making.decide(given, person, french))["compliant"] is True


async def test_r5_a_cancelled_version_is_accepted_by_nobody(given: Given) -> None:
    """Agreements R5: neither before nor after its time, by no screen that still shows it; and it is shown to nobody any more."""
    found = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, found)
    coming = await making.create_published(given, found, effective_at=making.days_from_now(given, 1 / 288))
    shown = await making.present(given, person, found)
    assert (shown["ordinal"], await acting.cancel(given, coming)) == (2, True)
    for word in ("accept", "decline"):
        assert status_and_code(await making.decide(given, person, shown, word)) == (409, "agreement_version_cancelled")
    assert status_and_code(await acting.try_to_present(given, person, found, version=coming["id"])) == (404, "agreement_version_not_found")
    assert (await making.present(given, person, found))["ordinal"] == 1
    given.clock.forward(minutes=6)
    assert status_and_code(await making.decide(given, person, shown)) == (409, "agreement_version_cancelled")
    assert await acting.list_events(given, person) == ["accepted"]
    told = await given.access(found["product"], person)
    assert (told["allow"], acting.list_warnings(told)) == (True, [])


async def test_r5_a_document_with_nothing_but_a_cancelled_version_asks_for_nothing(given: Given) -> None:
    found = await acting.create_agreement(given, (await given.product(requires=["login", "eula"]))["code"])
    coming = await making.create_published(given, found, effective_at=making.days_from_now(given, 1))
    person = await given.logged_in()
    assert await acting.cancel(given, coming)
    assert status_and_code(await acting.try_to_present(given, person, found)) == (404, "agreement_not_found")
    assert status_and_code(await acting.withdraw(given, person, found)) == (404, "agreement_not_found")
    assert (await making.list_agreements(given, person, found))["items"] == []
    assert (await given.access(found["product"], person))["check_again_at"] != coming["effective_at"]


async def test_the_receipt_of_a_decision_names_no_more_than_it_must(given: Given) -> None:
    """Rules section 2.2: ids and commitments; no address of the person or of their machine."""
    found = await acting.create_in_force(given)
    person = await given.logged_in(display_name="Kari Nordmann", age_band="adult", region="NO")
    told = await making.accept(given, person, found)
    claims = jwt.decode(told["receipt"]["jws"], options={"verify_signature": False})
    assert (claims["capacity"], claims["region"], claims["sub"]) == ("adult", "001", person.id)
    for secret in (person.email, "Kari", str(person.token)):
        assert secret not in str(claims)


async def test_r14_what_one_session_was_shown_no_other_decides(given: Given) -> None:
    """Agreements R14: the receipt names the screen and the session together; they must have been one."""
    found = await making.create_in_force(given)
    person = await given.logged_in()
    shown = await making.present(given, person, found, client="laptop")
    other = await given.logged_in(Person(person.id, person.email))
    assert status_and_code(await making.decide(given, other, shown)) == (409, "presentation_elsewhere")
    given.expect(await making.decide(given, person, shown))


async def test_r15_a_word_said_twice_is_none(given: Given) -> None:
    """Agreements R15: of `decline` and `accept` in one body nobody knows which was meant."""
    person = await given.logged_in()
    shown = await making.present(given, person, await making.create_in_force(given))
    body = f'{{"decision": "decline", "decision": "accept", "text_sha256": "{shown["text"]["sha256"]}"}}'
    answer = await given.client.post(f"/v1/me/presentations/{shown['id']}/decision", content=body, headers=person.auth)
    assert status_and_code(answer) == (422, "malformed")
    assert answer.json()["errors"][0]["code"] == "duplicate_name"
    assert await acting.count_events(given) == 0
