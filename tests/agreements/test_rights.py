"""Who may decide, in which language, and on which version: each rule has its code, and a refusal stores nothing."""

from collections.abc import Mapping

import jwt
import pytest

from tests.agreements import acting, making
from tests.agreements.making import Json, status_and_code
from tests.given import Given, Person


def path(presentation: Json) -> str:
    return f"/v1/me/presentations/{presentation['id']}/decision"


def said(presentation: Json) -> Json:
    return {"decision": "accept", "text_sha256": presentation["text"]["sha256"]}


async def test_r15_only_json(given: Given) -> None:
    """Agreements R15: a form, a bare `true`, an empty body, or query parameters: none of them accepts."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    post = given.client.post
    assert status_and_code(await post(path(presentation), data=said(presentation), headers=person.auth)) == (422, "malformed")
    assert status_and_code(await post(path(presentation), json=True, headers=person.auth)) == (422, "malformed")
    assert status_and_code(await post(path(presentation), json=[said(presentation)], headers=person.auth)) == (422, "malformed")
    assert status_and_code(await post(path(presentation), headers=person.auth)) == (422, "malformed")
    assert status_and_code(await post(path(presentation), params=said(presentation), headers=person.auth)) == (422, "malformed")
    assert await acting.count_events(given) == 0
    given.expect(await post(path(presentation), json=said(presentation), headers=person.auth))


async def test_r15_no_other_method_and_no_cookie(given: Given) -> None:
    """Agreements R15: only POST, only with the token in its header."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert status_and_code(await given.client.request(method, path(presentation), params=said(presentation), headers=person.auth)) == (
            405,
            "method_not_allowed",
        )
    cookies = {"Cookie": f"access_token={person.token}; Authorization=Bearer {person.token}"}
    assert status_and_code(await given.client.post(path(presentation), json=said(presentation), headers=cookies)) == (
        401,
        "unauthenticated",
    )
    assert await acting.count_events(given) == 0


async def strangers(given: Given, person: Person) -> Mapping[str, dict[str, str]]:
    """Credentials of others: operators, a seat of this user, an unfinished login."""
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


async def test_r16_only_the_end_user_decides(given: Given) -> None:
    """Agreements R16: other callers cannot present, report, decide or withdraw, and nothing is stored."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    calls = {
        f"/v1/me/agreements/{agreement['id']}/presentations": {},
        path(presentation): said(presentation),
        f"/v1/me/agreements/{agreement['id']}/withdrawal": {},
    }
    for name, headers in (await strangers(given, person)).items():
        for where, body in calls.items():
            answer = await given.client.post(where, json=body, headers=headers)
            assert status_and_code(answer) == (403, "subject_token_required"), (name, where)
        answer = await given.client.patch(f"/v1/me/presentations/{presentation['id']}", json={}, headers=headers)
        assert status_and_code(answer) == (403, "subject_token_required"), name
    assert await acting.count_events(given) == 0


async def test_r16_a_session_that_was_ended_accepts_nothing(given: Given) -> None:
    """Agreements R14, R16: only a valid session decides, and another session of the same person cannot use this presentation."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    await given.client.post("/v1/logout", headers=person.auth)
    assert (await making.decide(given, person, presentation)).status_code == 401
    assert await acting.count_events(given) == 0
    await given.logged_in(person)
    assert status_and_code(await making.decide(given, person, presentation)) == (409, "presentation_elsewhere")
    given.expect(await making.decide(given, person, await making.present(given, person, agreement)))


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
    """Agreements R13: by the document's rule and the stored age band; declining is always allowed; the receipt has the capacity."""
    agreement = await acting.create_in_force(given, minors=minors)
    person = await given.logged_in(age_band=band)
    answer = await making.decide(given, person, await making.present(given, person, agreement))
    if refused is None:
        assert answer.status_code == 201
    else:
        assert status_and_code(answer) == (403, refused)
        assert await acting.count_events(given) == 0
        given.expect(await making.decide(given, person, await making.present(given, person, agreement), "decline"))
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
    """Agreements R18: this version must have been shown to this user in one of them; then any language can be accepted."""
    agreement = await acting.create_in_force(given, "en", first, *more, required_locales=required)
    person, other = await given.logged_in(), await given.logged_in()
    english = await making.present(given, person, agreement, locale="en")
    await making.present(given, other, agreement, locale=first)  # another user's presentation does not count
    refused = await making.decide(given, person, english)
    assert status_and_code(refused) == (409, "required_locale_not_presented")
    assert refused.json()["locales"] == required
    assert await acting.count_events(given) == 0
    await making.present(given, person, agreement, locale=first)
    answer = await making.decide(given, person, english)
    assert answer.status_code == (201 if good else 409)
    if good:
        assert (await acting.read_last_claims(given, person))["locale"] == "en"


async def test_r18_another_versions_showing_is_none(given: Given) -> None:
    """Agreements R18: the language is required of each version; declining needs none."""
    agreement = await acting.create_in_force(given, "en", "fr", required_locales=["fr"])
    person = await given.logged_in()
    given.expect(await making.decide(given, person, await making.present(given, person, agreement, locale="fr")))
    await making.create_published(given, agreement, "en", "fr")
    english = await making.present(given, person, agreement, locale="en")
    assert status_and_code(await making.decide(given, person, english)) == (409, "required_locale_not_presented")
    given.expect(await making.decide(given, person, english, "decline"))
    french = await making.present(given, person, agreement, locale="fr")
    assert given.expect(await making.decide(given, person, french))["compliant"] is True


async def test_r5_a_cancelled_version_cannot_be_accepted(given: Given) -> None:
    """Agreements R5: neither before nor after its date, nor by an older presentation; and it is no longer shown."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    coming = await making.create_published(given, agreement, effective_at=making.days_from_now(given, 1 / 288))
    presentation = await making.present(given, person, agreement)
    assert (presentation["ordinal"], await acting.cancel(given, coming)) == (2, True)
    for word in ("accept", "decline"):
        assert status_and_code(await making.decide(given, person, presentation, word)) == (409, "agreement_version_cancelled")
    assert status_and_code(await acting.try_to_present(given, person, agreement, version=coming["id"])) == (
        404,
        "agreement_version_not_found",
    )
    assert (await making.present(given, person, agreement))["ordinal"] == 1
    given.clock.forward(minutes=6)
    assert status_and_code(await making.decide(given, person, presentation)) == (409, "agreement_version_cancelled")
    assert await acting.list_events(given, person) == ["accepted"]
    result = await given.access(agreement["product"], person)
    assert (result["allow"], acting.list_warnings(result)) == (True, [])


async def test_r5_a_document_with_nothing_but_a_cancelled_version_asks_for_nothing(given: Given) -> None:
    agreement = await acting.create_agreement(given, (await given.product(requires=["login", "eula"]))["code"])
    coming = await making.create_published(given, agreement, effective_at=making.days_from_now(given, 1))
    person = await given.logged_in()
    assert await acting.cancel(given, coming)
    assert status_and_code(await acting.try_to_present(given, person, agreement)) == (404, "agreement_not_found")
    assert status_and_code(await acting.withdraw(given, person, agreement)) == (404, "agreement_not_found")
    assert (await making.list_agreements(given, person, agreement))["items"] == []
    assert (await given.access(agreement["product"], person))["check_again_at"] != coming["effective_at"]


async def test_the_receipt_of_a_decision_names_no_more_than_it_must(given: Given) -> None:
    """Rules section 2.2: ids and commitments; no e-mail and no network address."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in(display_name="Kari Nordmann", age_band="adult", region="NO")
    result = await making.accept(given, person, agreement)
    claims = jwt.decode(result["receipt"]["jws"], options={"verify_signature": False})
    assert (claims["capacity"], claims["region"], claims["sub"]) == ("adult", "001", person.id)
    for secret in (person.email, "Kari", str(person.token)):
        assert secret not in str(claims)


async def test_r14_what_one_session_was_shown_no_other_decides(given: Given) -> None:
    """Agreements R14: the receipt names presentation and session; they must belong together."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement, client="laptop")
    other = await given.logged_in(Person(person.id, person.email))
    assert status_and_code(await making.decide(given, other, presentation)) == (409, "presentation_elsewhere")
    given.expect(await making.decide(given, person, presentation))


async def test_r15_a_repeated_field_is_refused(given: Given) -> None:
    """Agreements R15: `decline` and `accept` in one body are ambiguous."""
    person = await given.logged_in()
    presentation = await making.present(given, person, await making.create_in_force(given))
    body = f'{{"decision": "decline", "decision": "accept", "text_sha256": "{presentation["text"]["sha256"]}"}}'
    answer = await given.client.post(f"/v1/me/presentations/{presentation['id']}/decision", content=body, headers=person.auth)
    assert status_and_code(answer) == (422, "malformed")
    assert answer.json()["errors"][0]["code"] == "duplicate_name"
    assert await acting.count_events(given) == 0
