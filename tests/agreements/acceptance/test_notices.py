"""What only informs: shown once for the record, accepted by nobody, in nobody's way (agreements R11)."""

from tests.agreements import acting, making
from tests.agreements.making import status_and_code
from tests.given import Given


async def test_r11_a_notice_is_shown_and_that_is_all(given: Given) -> None:
    """Agreements R11: allowed with an advisory until it was shown; that is one event, however often it is shown."""
    eula = await acting.create_in_force(given)
    notice = await acting.create_in_force(given, product=eula["product"], kind="notice")
    person = await given.logged_in()
    await making.accept(given, person, eula)
    result = await given.access(eula["product"], person)
    assert (result["allow"], acting.list_warnings(result), result["agreements"]["outstanding"]) == (True, ["agreement_notice"], [])
    assert (await acting.find_item(given, person, notice))["status"] == "to_be_shown"
    for _ in range(2):
        await making.present(given, person, notice, format="text", ui_ref="banner")
        assert acting.list_warnings(await given.access(eula["product"], person)) == []
    assert await acting.list_events(given, person) == ["accepted", "notice_shown"]
    claims = await acting.read_last_claims(given, person)
    assert (claims["event"], claims["kind"], claims["seq"], claims["format"], claims["ui_ref"]) == (
        "notice_shown",
        "notice",
        2,
        "text",
        "banner",
    )
    item = await acting.find_item(given, person, notice)
    assert (item["status"], item["accepted"]) == ("notified", None)


async def test_r11_a_notice_is_decided_by_nobody(given: Given) -> None:
    """Agreements R11, R22: neither accepted nor declined nor withdrawn, each with its own code; nothing is stored but that it was shown."""
    notice = await acting.create_in_force(given, kind="notice")
    person = await given.logged_in()
    presentation = await making.present(given, person, notice)
    for word in ("accept", "decline"):
        assert status_and_code(await making.decide(given, person, presentation, word)) == (409, "not_decidable")
    assert status_and_code(await acting.withdraw(given, person, notice)) == (409, "not_withdrawable")
    assert await acting.list_events(given, person) == ["notice_shown"]
    assert (await given.access(notice["product"], person))["allow"] is True


async def test_r11_every_version_of_a_notice_is_news_but_a_correction(given: Given) -> None:
    """Agreements R11: a material version or one of class `notice` is news; an editorial one is a correction."""
    notice = await acting.create_in_force(given, kind="notice")
    person = await given.logged_in()
    await making.present(given, person, notice)
    await making.create_published(given, notice, change_class="editorial")
    assert acting.list_warnings(await given.access(notice["product"], person)) == []
    await making.create_published(given, notice, change_class="notice")
    assert acting.list_warnings(await given.access(notice["product"], person)) == ["agreement_notice"]
    await making.create_published(given, notice, change_class="editorial")
    await making.present(given, person, notice)
    assert acting.list_warnings(await given.access(notice["product"], person)) == []
    assert await acting.list_events(given, person) == ["notice_shown", "notice_shown"]
    assert (await acting.read_last_claims(given, person))["ord"] == 4


async def test_r11_a_notice_version_of_a_eula(given: Given) -> None:
    """Agreements R11: shown to those who agreed to an earlier one; it may be accepted all the same, and is not owed."""
    agreement = await acting.create_in_force(given)
    person, fresh = await given.logged_in(), await given.logged_in()
    await making.accept(given, person, agreement)
    await making.create_published(given, agreement, change_class="notice")
    assert acting.list_warnings(await given.access(agreement["product"], person)) == ["agreement_notice"]
    presentation = await making.present(given, person, agreement)
    assert (presentation["ordinal"], acting.list_warnings(await given.access(agreement["product"], person))) == (2, [])
    await making.present(given, fresh, agreement)
    assert await acting.list_events(given, fresh) == []
    result = given.expect(await making.decide(given, person, presentation))
    assert (result["result"], result["ordinal"]) == ("created", 2)
    assert await acting.list_events(given, person) == ["accepted", "notice_shown", "accepted"]


async def test_r11_a_coming_notice_does_not_hide_the_one_in_force(given: Given) -> None:
    """Agreements R11: looking at what comes is no showing of what is; once that was shown too, the coming one counts when it was seen."""
    notice = await acting.create_in_force(given, kind="notice")
    coming = await making.create_published(given, notice, effective_at=making.days_from_now(given, 2))
    person = await given.logged_in()
    await making.present(given, person, notice, version=coming["id"])
    assert await acting.list_events(given, person) == []
    assert acting.list_warnings(await given.access(notice["product"], person)) == ["agreement_notice"]
    assert (await making.present(given, person, notice))["ordinal"] == 1
    assert (await making.present(given, person, notice))["ordinal"] == 2
    given.clock.forward(days=2)
    await given.logged_in(person)
    assert acting.list_warnings(await given.access(notice["product"], person)) == []
    assert await acting.list_events(given, person) == ["notice_shown", "notice_shown"]


async def test_r11_the_gate_tells_when_a_notice_comes(given: Given) -> None:
    """Agreements R11, R20: before its time nothing is said of it, but the answer does not outlive that time."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    await making.accept(given, person, agreement)
    await making.create_published(given, agreement, change_class="notice", effective_at=making.days_from_now(given, 1 / 288))
    result = await given.access(agreement["product"], person)
    assert (acting.list_warnings(result), result["check_again_at"]) == ([], making.days_from_now(given, 1 / 288))
    given.clock.forward(minutes=5)
    assert acting.list_warnings(await given.access(agreement["product"], person)) == ["agreement_notice"]
