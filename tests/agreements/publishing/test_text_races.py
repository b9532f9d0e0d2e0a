"""Operators change one agreement concurrently: one order, and published versions are complete (agreements R3, R4, R5, R6)."""

from collections import Counter
from uuid import UUID

from sqlalchemy import func, select

from app.agreements.models import AgreementText
from app.events.models import Event
from tests.agreements import making
from tests.agreements.making import TEXT, days_from_now
from tests.given import Given


async def events(given: Given, type: str) -> int:
    async with given.world.db.query() as tx:
        return await tx.scalar(select(func.count()).where(Event.type == type)) or 0


async def unfrozen(given: Given, version_id: str) -> int:
    """Texts of a version that lack a form, or whose forms are not of their source."""
    wanted = select(func.count()).where(AgreementText.version_id == UUID(version_id), AgreementText.html_sha256.is_(None))
    async with given.world.db.query() as tx:
        return await tx.scalar(wanted) or 0


async def test_r4_two_drafts_scheduled_at_once(given: Given) -> None:
    """Agreements R4, R6: of eight drafts one is scheduled; the others are refused with its id, and no ordinal is skipped."""
    agreement = await making.create_agreement(given)
    await making.create_published(given, agreement)
    drafts = [await making.create_version(given, agreement) for _ in range(8)]
    answers = await making.run_together(*(making.publish(given, each, effective_at=days_from_now(given, 3)) for each in drafts))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 7}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"agreement_already_scheduled"}
    states = [each["state"] for each in (await making.read(given, f"/v1/agreements/{agreement['id']}"))["versions"]]
    assert Counter(states) == {"effective": 1, "scheduled": 1, "draft": 7}
    (scheduled,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert scheduled["ordinal"] == 2
    given.expect(await making.cancel(given, scheduled))
    rest = [each for each in drafts if each["id"] != scheduled["id"]]
    answers = await making.run_together(*(making.publish(given, each) for each in rest))
    assert sorted(given.expect(answer)["ordinal"] for answer in answers) == [*range(3, 10)]


async def test_r5_cancelled_by_many(given: Given) -> None:
    """Agreements R5: sixteen requests get the same response, and one event is recorded."""
    agreement = await making.create_agreement(given)
    draft = await making.create_published(given, agreement, effective_at=days_from_now(given, 3))
    answers = await making.run_together(*(making.cancel(given, draft) for _ in range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["state"] for answer in answers} == {"cancelled"}
    assert await events(given, "agreement.cancelled") == 1


async def test_r4_cancelled_while_the_next_is_published(given: Given) -> None:
    """Agreements R4, R6: the next is published after the cancellation or refused before it; never are two scheduled."""
    agreement = await making.create_agreement(given)
    draft = await making.create_published(given, agreement, effective_at=days_from_now(given, 3))
    drafts = [await making.create_version(given, agreement) for _ in range(4)]
    calls = [making.publish(given, each, effective_at=days_from_now(given, 1)) for each in drafts]
    answers = await making.run_together(*calls[:2], making.cancel(given, draft), *calls[2:])
    assert answers[2].status_code == 200
    assert Counter(answer.status_code for answer in answers)[200] <= 2
    result = (await making.read(given, f"/v1/agreements/{agreement['id']}"))["versions"]
    assert Counter(each["state"] for each in result)["scheduled"] <= 1
    ordinals = sorted(each["ordinal"] for each in result if each["ordinal"])
    assert ordinals == [*range(1, len(ordinals) + 1)]


async def test_r2_languages_written_while_it_is_published(given: Given) -> None:
    """Agreements R2, R3: each comes before the publish or after it; either way it is there, and frozen with all of its forms."""
    agreement = await making.create_agreement(given)
    draft = await making.create_version(given, agreement)
    locales = ["nb", "ru", "ar", "de", "fr", "zh-Hans", "zh-Hant", "hi"]
    writes = [making.put_text(given, draft, locale, TEXT) for locale in locales]
    answers = await making.run_together(*writes[:4], making.publish(given, draft), *writes[4:])
    assert {answer.status_code for answer in answers} == {200}
    result = await making.read(given, f"/v1/agreement-versions/{draft['id']}")
    assert sorted(text["locale"] for text in result["texts"]) == sorted(["en", *locales])
    assert await unfrozen(given, draft["id"]) == 0


async def test_r2_a_text_rewritten_while_it_is_published(given: Given) -> None:
    """Agreements R2: whichever words won, HTML and plain text are made of these and no others."""
    agreement = await making.create_agreement(given)
    draft = await making.create_version(given, agreement)
    writes = [making.put_text(given, draft, "en", {**TEXT, "body": f"Words {number}."}) for number in range(8)]
    answers = await making.run_together(*writes[:4], making.publish(given, draft), *writes[4:])
    assert {answer.status_code for answer in answers} <= {200, 409}
    text = given.expect(answers[4])["texts"][0]
    result = {}
    for form in ("text/markdown", "text/html", "text/plain"):
        answer = await given.client.get(f"/v1/agreement-texts/{text['id']}", headers={"Accept": form})
        result[form] = answer.text
    assert result["text/markdown"] == text["body"]
    word = text["body"].strip().removeprefix("# ")
    assert word in result["text/html"]
    assert word in result["text/plain"]


async def test_r3_one_language_added_by_many(given: Given) -> None:
    """Agreements R3: of different texts for one new language the first stands; the others find it frozen."""
    draft = await making.create_published(given, await making.create_agreement(given))
    answers = await making.run_together(*(making.put_text(given, draft, "nb", {**TEXT, "body": f"Tekst {number}."}) for number in range(8)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 7}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"agreement_text_frozen"}
    assert await unfrozen(given, draft["id"]) == 0


async def test_r3_deleted_while_it_is_published(given: Given) -> None:
    """Agreements R3: a draft is gone or it is published, with its texts or without any of it."""
    agreement = await making.create_agreement(given)
    for turn in range(4):
        draft = await making.create_version(given, agreement)
        path = f"/v1/agreement-versions/{draft['id']}"
        pair = [given.client.delete(path, headers=given.root), making.publish(given, draft)]
        answers = {answer.request.method: answer for answer in await making.run_together(*(pair if turn % 2 else pair[::-1]))}
        result = answers["DELETE"].status_code, answers["POST"].status_code
        assert result in {(204, 404), (409, 200)}
        read = await given.client.get(path, headers=given.root)
        assert read.status_code == (404 if result == (204, 404) else 200)


async def test_r4_required_while_it_is_published(given: Given) -> None:
    """Agreements R4: a language becomes required before the publish, which then lacks it, or not at all."""
    agreement = await making.create_agreement(given)
    draft = await making.create_version(given, agreement)
    patching = making.patch(given, f"/v1/agreements/{agreement['id']}", required_locales=["nb"])
    changed, answer = await making.run_together(patching, making.publish(given, draft))
    assert (changed.status_code, answer.status_code) in {(200, 409), (409, 200)}
    assert {each.json()["code"] for each in (changed, answer) if each.status_code == 409} == {"agreement_required_text_missing"}
