"""Publishing and cancelling: frozen formats, reasons to refuse, ordinals, and states over time."""

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from app.agreements.models import AgreementText, AgreementVersion
from app.events.models import Event
from tests.agreements import making
from tests.agreements.making import TEXT, days_from_now, status_and_code
from tests.given import Given


async def stored(given: Given, version_id: str) -> dict[str, tuple[str | None, ...]]:
    """The frozen forms of a version's texts, by language."""
    wanted = select(
        AgreementText.locale, AgreementText.html, AgreementText.html_sha256, AgreementText.plain, AgreementText.plain_sha256
    ).where(AgreementText.version_id == UUID(version_id))
    async with given.world.db.query() as tx:
        return {row.locale: tuple(row)[1:] for row in await tx.execute(wanted)}


async def test_r2_html_and_plain_text_are_made_at_publish(given: Given) -> None:
    """Agreements R2: none in a draft, all with hashes at publishing and for a later language; then permanent."""
    agreement = await making.create_agreement(given)
    draft = await making.create_version(given, agreement, "en", "ar", body="# Terms\n\nBe *kind*.")
    assert await stored(given, draft["id"]) == dict.fromkeys(("en", "ar"), (None, None, None, None))
    result = given.expect(await making.publish(given, draft))
    given.expect(await making.put_text(given, draft, "nb", {**TEXT, "body": "# Vilkår"}))
    remaining = await stored(given, draft["id"])
    assert remaining["en"][0] == '<article lang="en" dir="ltr">\n<h1>Terms</h1>\n<p>Be <em>kind</em>.</p>\n</article>\n'
    assert remaining["en"][2] == "Terms\n\nBe kind.\n"
    assert remaining["ar"][0] == '<article lang="ar" dir="rtl">\n<h1>Terms</h1>\n<p>Be <em>kind</em>.</p>\n</article>\n'
    assert remaining["nb"][2] == "Vilkår\n"
    for html, html_sha256, plain, plain_sha256 in remaining.values():
        assert html is not None
        assert plain is not None
        assert html_sha256 == sha256(html.encode()).hexdigest()
        assert plain_sha256 == sha256(plain.encode()).hexdigest()
    assert {text["locale"]: (text["html_sha256"], text["plain_sha256"]) for text in result["texts"]} == {
        locale: (remaining[locale][1], remaining[locale][3]) for locale in ("ar", "en")
    }


@pytest.mark.parametrize("column", ["html", "html_sha256", "plain", "plain_sha256"])
async def test_r2_the_database_keeps_them(given: Given, column: str) -> None:
    """Agreements R2, R3: a trigger on both databases, also for a version that was cancelled."""
    agreement = await making.create_agreement(given)
    draft = await making.create_published(given, agreement, effective_at=days_from_now(given, 3))
    other = update(AgreementText).where(AgreementText.version_id == UUID(draft["id"])).values({column: "other"})
    for _ in range(2):
        with pytest.raises(DBAPIError, match="frozen"):
            async with given.world.db.write() as tx:
                await tx.execute(other)
        given.expect(await making.cancel(given, draft))


async def test_r4_required_languages(given: Given) -> None:
    """Agreements R4: every required language has its text, or nothing is published; the missing ones are named."""
    agreement = await making.create_agreement(given, required_locales=["fr-CA", "nb"])
    draft = await making.create_version(given, agreement, "en", "fr")
    refused = await making.publish(given, draft)
    assert status_and_code(refused) == (409, "agreement_required_text_missing")
    assert refused.json()["locales"] == ["fr-CA", "nb"]
    for locale in ("fr-CA", "nb"):
        given.expect(await making.put_text(given, draft, locale, TEXT))
    given.expect(await making.publish(given, draft))


async def test_who_published(given: Given) -> None:
    """The operator's key is noted with the version."""
    agreement = await making.create_agreement(given)
    draft = await making.create_version(given, agreement)
    key = await given.post("/v1/api-keys", {"name": "legal", "scopes": ["agreements:write"]})
    answer = await given.client.post(
        f"/v1/agreement-versions/{draft['id']}/publish", json={}, headers={"Authorization": f"Bearer {key['key']}"}
    )
    assert given.expect(answer)["published_by"] == key["id"]


async def test_r5_cancelled(given: Given) -> None:
    """Agreements R5: a scheduled version without a decision is cancelled; repeating it changes nothing, and there is one event."""
    agreement = await making.create_agreement(given)
    first = await making.create_published(given, agreement)
    draft = await making.create_published(given, agreement, effective_at=days_from_now(given, 3))
    result = given.expect(await making.cancel(given, draft))
    assert (result["state"], result["ordinal"], result["cancelled_at"] is None) == ("cancelled", 2, False)
    given.clock.forward(days=1)
    assert given.expect(await making.cancel(given, draft)) == result
    given.clock.forward(days=9)
    read = await making.read(given, f"/v1/agreements/{agreement['id']}")
    assert [(each["id"], each["state"]) for each in read["versions"]] == [(draft["id"], "cancelled"), (first["id"], "effective")]
    async with given.world.db.query() as tx:
        events = (await tx.scalars(select(Event.data).where(Event.type == "agreement.cancelled"))).all()
    assert [each["version"] for each in events] == [draft["id"]]


async def test_r5_what_cannot_be_cancelled(given: Given) -> None:
    """Agreements R5: a draft, a version in effect, a superseded one."""
    agreement = await making.create_agreement(given)
    draft = await making.create_version(given, agreement)
    for state in ("draft", "effective", "superseded"):
        refused = await making.cancel(given, draft)
        assert status_and_code(refused) == (409, "agreement_version_not_scheduled")
        assert refused.json()["state"] == state
        given.expect(await making.publish(given, draft if state == "draft" else await making.create_version(given, agreement)))
    coming = await making.create_published(given, agreement, effective_at=days_from_now(given, 3))
    given.clock.forward(days=3)
    assert status_and_code(await making.cancel(given, coming)) == (409, "agreement_version_not_scheduled")


async def test_r5_a_decided_version_cannot_be_cancelled(given: Given) -> None:
    """Agreements R5, R10: after an early acceptance or decline it cannot be cancelled, not even by direct SQL."""
    for decision in ("accept", "decline"):
        agreement = await making.create_in_force(given)
        person = await given.logged_in()
        await making.accept(given, person, agreement)
        coming = await making.create_published(given, agreement, effective_at=days_from_now(given, 3))
        presentation = await making.present(given, person, agreement)
        assert presentation["version"] == coming["id"]
        given.expect(await making.decide(given, person, presentation, decision))
        assert status_and_code(await making.cancel(given, coming)) == (409, "agreement_version_decided")
        assert (await making.read(given, f"/v1/agreement-versions/{coming['id']}"))["state"] == "scheduled"
        with pytest.raises(DBAPIError, match="frozen"):
            async with given.world.db.write() as tx:
                await tx.execute(update(AgreementVersion).where(AgreementVersion.id == UUID(coming["id"])).values(status="cancelled"))


async def test_r6_an_ordinal_never_comes_twice(given: Given) -> None:
    """Agreements R4, R6: after a cancelled version the next ordinal is higher, and that version may take effect earlier."""
    agreement = await making.create_agreement(given)
    await making.create_published(given, agreement)
    for ordinal in (2, 3):
        draft = await making.create_published(given, agreement, effective_at=days_from_now(given, 30))
        assert draft["ordinal"] == ordinal
        given.expect(await making.cancel(given, draft))
    draft = await making.create_published(given, agreement, effective_at=days_from_now(given, 1))
    assert (draft["ordinal"], draft["state"]) == (4, "scheduled")
    given.clock.forward(days=1)
    result = await making.read(given, f"/v1/agreements/{agreement['id']}")
    assert [(each["ordinal"], each["state"]) for each in result["versions"]] == [
        (4, "effective"),
        (3, "cancelled"),
        (2, "cancelled"),
        (1, "superseded"),
    ]


async def test_r8_after_a_cancelled_first_version_the_first_is_material(given: Given) -> None:
    """Agreements R8: the cancelled version does not count, so the next is the first: material, without `changes`."""
    agreement = await making.create_agreement(given)
    given.expect(await making.cancel(given, await making.create_published(given, agreement, effective_at=days_from_now(given, 3))))
    notice = await making.create_version(given, agreement, change_class="notice")
    assert status_and_code(await making.publish(given, notice)) == (409, "agreement_first_not_material")
    draft = await making.create_version(given, agreement, changes=None)
    assert given.expect(await making.publish(given, draft))["ordinal"] == 2
    given.expect(await making.put_text(given, draft, "nb", TEXT))
    second = await making.create_version(given, agreement, changes=None)
    assert status_and_code(await making.publish(given, second)) == (409, "agreement_changes_missing")


async def test_r4_one_scheduled_at_a_time(given: Given) -> None:
    """Agreements R4: a second one waits until the first is in effect or cancelled."""
    agreement = await making.create_agreement(given)
    waiting = await making.create_published(given, agreement, effective_at=days_from_now(given, 3))
    draft = await making.create_version(given, agreement)
    refused = await making.publish(given, draft, effective_at=days_from_now(given, 4))
    assert status_and_code(refused) == (409, "agreement_already_scheduled")
    assert (refused.json()["version"], refused.json()["effective_at"]) == (waiting["id"], waiting["effective_at"])
    given.expect(await making.cancel(given, waiting))
    given.expect(await making.publish(given, draft, effective_at=days_from_now(given, 1)))


async def test_r7_states_through_time(given: Given) -> None:
    """Agreements R7: scheduled until the last millisecond, effective at the exact moment, superseded by the next; no job is involved."""
    agreement = await making.create_agreement(given)
    draft = await making.create_version(given, agreement)
    path = f"/v1/agreement-versions/{draft['id']}"
    states = [(await making.read(given, path))["state"]]
    given.expect(await making.publish(given, draft, effective_at=days_from_now(given, 3), grace_until=days_from_now(given, 5)))
    for forward in (timedelta(days=3) - timedelta(milliseconds=1), timedelta(milliseconds=1), timedelta(days=30)):
        given.clock.moment += forward
        states.append((await making.read(given, path))["state"])
    await making.create_published(given, agreement, change_class="editorial")
    states.append((await making.read(given, path))["state"])
    assert states == ["draft", "scheduled", "effective", "effective", "superseded"]
