"""The outbox: written with its cause, sent once, retried after failures, and pruned."""

import asyncio
import stat
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, update

from app.config.settings import Settings
from app.config.smtp_url import SmtpAddress
from app.db.base import table
from app.events.models import Event
from app.mail import data_lifecycle, outbox, rules
from app.mail.models import Message, Template
from app.mail.service import Recipient, enqueue_letter
from app.mail.transports import Folder, Smtp, Transport, create_transport
from app.world import World
from tests.clock import TurnedClock
from tests.mail.letters import OLA, TOKEN, enqueue_verification
from tests.postbox import Postbox, Received
from tests.random_keys import production_environment


async def enqueue_notice(world: World, to: Recipient = OLA) -> None:
    """Put a letter that does not expire into the outbox."""
    async with world.db.write() as tx:
        await enqueue_letter(tx, world, to, Template.PASSWORD_CHANGED, {"when": world.clock.now()})


async def rows(world: World) -> list[Any]:
    async with world.db.query() as tx:
        return list((await tx.execute(select(*table(Message).columns).order_by(Message.id))).all())


async def row(world: World) -> Any:
    (only,) = await rows(world)
    return only


def smtp(world: World) -> Transport:
    transport = create_transport(world.settings)
    assert isinstance(transport, Smtp)
    return transport


async def test_a_letter_is_sent_by_smtp_after_the_commit(mailing: World, postbox: Postbox) -> None:
    await enqueue_verification(mailing)
    assert postbox.received == []
    came = await postbox.letter(mailing)
    assert came.to == ["ola@example.com"]
    assert str(came.message["To"]) == "Ola Nordmann <ola@example.com>"
    assert came.message["Subject"] == "Bekreft e-postadressen din hos Licentia"
    assert came.token == TOKEN
    assert TOKEN in came.part("html")
    assert (await row(mailing)).sent_at == mailing.clock.now()


@pytest.mark.parametrize(("locale", "name"), [("ru", "Иван Петров"), ("zh-Hans", "王小明")])
async def test_names_and_texts_in_other_scripts_arrive(mailing: World, postbox: Postbox, locale: str, name: str) -> None:
    await enqueue_verification(mailing, Recipient("user@example.com", locale, name))
    came = await postbox.letter(mailing)
    assert came.message["To"].addresses[0].display_name == name
    assert came.message["Content-Language"] == locale
    assert came.wire.isascii()


async def test_a_letter_to_a_non_ascii_address_arrives(mailing: World, postbox: Postbox) -> None:
    """RFC 6531, if the server supports it."""
    await enqueue_verification(mailing, Recipient("иван@example.com"))
    assert (await postbox.letter(mailing)).to == ["иван@example.com"]


async def test_address_and_facts_are_sealed_and_deleted_after_sending(mailing: World, postbox: Postbox) -> None:
    await enqueue_verification(mailing)
    stored = str(await rows(mailing))
    assert "ola@example.com" not in stored
    assert "Nordmann" not in stored
    assert TOKEN not in stored
    await postbox.letter(mailing)
    over = await row(mailing)
    assert (over.recipient_sealed, over.facts_sealed, over.claimed_until) == (None, None, None)


async def test_a_sealed_letter_opens_only_in_its_own_row(mailing: World, postbox: Postbox) -> None:
    """An attacker with write access cannot get another user's token sent to themselves."""
    await enqueue_verification(mailing)
    await enqueue_verification(mailing, Recipient("thief@example.com"), token="vfy_of-the-thief")
    hers, his = await rows(mailing)
    async with mailing.db.write() as tx:
        await tx.execute(update(Message).where(Message.id == his.id).values(facts_sealed=hers.facts_sealed))
    assert [came.to for came in await postbox.collected(mailing)] == [["ola@example.com"]]
    assert {each.last_error for each in await rows(mailing)} == {None, "SealBroken"}


async def test_a_letter_of_a_transaction_that_fails_was_never_written(mailing: World, postbox: Postbox) -> None:
    async def fail() -> None:
        async with mailing.db.write() as tx:
            await enqueue_letter(tx, mailing, OLA, Template.PASSWORD_CHANGED, {"when": mailing.clock.now()})
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await postbox.collected(mailing) == []


async def test_wrong_facts_raise(mailing: World) -> None:
    with pytest.raises(ValueError, match="needs the facts"):
        async with mailing.db.write() as tx:
            await enqueue_letter(tx, mailing, OLA, Template.PASSWORD_CHANGED, {})


async def test_r50_without_a_recipient_the_work_is_the_same_and_nothing_is_sent(mailing: World, postbox: Postbox) -> None:
    await enqueue_verification(mailing, None)
    over = await row(mailing)
    assert over.sent_at is not None
    assert over.facts_sealed is None
    assert await postbox.collected(mailing) == []


async def test_without_a_mail_server_nothing_is_written(world: World) -> None:
    mute = replace(world, settings=Settings.load(production_environment()))
    assert not mute.settings.mail_configured
    assert create_transport(mute.settings) is None
    await enqueue_notice(mute)
    assert await rows(mute) == []


async def test_temporary_errors_are_retried_with_growing_waits(
    mailing: World, postbox: Postbox, clock: TurnedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """1, 4, 16, 64, 256 minutes and twice 6 hours; then the letter is given up, with an event."""
    postbox.refuse_letter = "451 4.7.1 greylisted, ola@example.com"
    await enqueue_notice(mailing)
    waits = []
    for attempt in range(1, rules.BACKOFF.tries):
        assert await postbox.collected(mailing) == []
        late = await row(mailing)
        assert (late.attempts, late.last_error, late.failed_at) == (attempt, "SMTPDataError 451", None)
        waits.append(round((late.due_at - clock.now()).total_seconds() / 60))
        clock.forward(seconds=(late.due_at - clock.now()).total_seconds() - 1)
        assert not await outbox.has_due_letter(mailing)
        clock.forward(seconds=1)
    assert waits == [1, 4, 16, 64, 256, 360, 360]
    assert await postbox.collected(mailing) == []
    over = await row(mailing)
    assert (over.attempts, over.failed_at, over.facts_sealed, over.recipient_sealed) == (8, clock.now(), None, None)
    event = await read_failed_event(mailing)
    assert (event.user_id, event.subject_id, event.data["cause"]) == (UUID(int=7), over.id, "SMTPDataError 451")
    assert "ola@example.com" not in str(event) + str(over) + capsys.readouterr().out


async def read_failed_event(world: World) -> Any:
    """Read the event of the letter that was given up."""
    async with world.db.query() as tx:
        return (await tx.execute(select(*table(Event).columns).where(Event.type == "mail.failed"))).one()


async def test_a_postponed_letter_arrives_when_the_server_is_back(mailing: World, postbox: Postbox, clock: TurnedClock) -> None:
    away = replace(mailing, settings=mailing.settings.model_copy(update={"smtp_url": None}))
    await enqueue_notice(mailing)
    assert await outbox.deliver_due(away, Smtp(SmtpAddress.parse("smtp://127.0.0.1:1?tls=off"), "x.test")) == 1
    assert (await row(mailing)).last_error == "SMTPConnectError"
    clock.forward(minutes=1)
    came = await postbox.letter(mailing)
    assert came.message["Message-ID"] == f"<{(await row(mailing)).id.hex}@licentia.example>"


@pytest.mark.parametrize("answer", ["550 5.1.1 no such mailbox", "552 full", "553 bad name"])
async def test_a_permanent_error_is_not_retried(mailing: World, postbox: Postbox, answer: str) -> None:
    postbox.refuse_recipient = answer
    await enqueue_notice(mailing)
    assert await postbox.collected(mailing) == []
    assert (await row(mailing)).failed_at is not None
    assert (await read_failed_event(mailing)).data["cause"] == f"SMTPRecipientsRefused {answer[:3]}"


async def test_an_accepted_letter_is_sent_even_if_quit_fails(mailing: World, postbox: Postbox) -> None:
    postbox.rude = True
    await enqueue_notice(mailing)
    await postbox.letter(mailing)
    assert (await row(mailing)).sent_at is not None


async def test_a_busy_mailbox_is_retried(mailing: World, postbox: Postbox) -> None:
    postbox.refuse_recipient = "450 4.2.1 busy"
    await enqueue_notice(mailing)
    assert await postbox.collected(mailing) == []
    assert (await row(mailing)).failed_at is None


async def test_a_letter_with_an_expired_token_is_not_sent(mailing: World, postbox: Postbox, clock: TurnedClock) -> None:
    await enqueue_verification(mailing)
    clock.forward(hours=24)
    assert await postbox.collected(mailing) == []
    assert (await read_failed_event(mailing)).data["cause"] == "Outdated"


async def test_a_letter_of_a_dead_process_is_sent_by_another_after_the_claim(mailing: World, postbox: Postbox, clock: TurnedClock) -> None:
    """Kill -9 between claim and result: no process sends it during the claim, another one afterwards."""
    await enqueue_notice(mailing)
    (dead,) = await outbox.claim_letters(mailing)
    clock.forward(minutes=4, seconds=59)
    assert await postbox.collected(mailing) == []
    clock.forward(seconds=1)
    assert len(await postbox.collected(mailing)) == 1
    assert (await row(mailing)).attempts == 2
    await outbox.record_result(mailing, dead, OSError())
    over = await row(mailing)
    assert (over.last_error, over.sent_at) == (None, clock.now())


async def test_a_result_after_a_later_claim_changes_nothing(mailing: World, postbox: Postbox, clock: TurnedClock) -> None:
    await enqueue_notice(mailing)
    (dead,) = await outbox.claim_letters(mailing)
    clock.forward(minutes=5)
    (living,) = await outbox.claim_letters(mailing)
    await outbox.record_result(mailing, dead, None)
    assert (await row(mailing)).sent_at is None
    await outbox.record_result(mailing, living, None)
    assert (await row(mailing)).sent_at is not None


async def test_a_letter_that_kills_its_process_is_given_up(mailing: World, postbox: Postbox, clock: TurnedClock) -> None:
    await enqueue_notice(mailing)
    for _ in range(rules.BACKOFF.tries):
        assert len(await outbox.claim_letters(mailing)) == 1
        clock.forward(minutes=5)
    assert await postbox.collected(mailing) == []
    assert (await read_failed_event(mailing)).data["cause"] == "Abandoned"


async def test_concurrent_workers_send_each_letter_once(mailing: World, postbox: Postbox) -> None:
    """Replicas with separate connections to one database."""
    for number in range(23):
        await enqueue_notice(mailing, Recipient(f"user-{number}@example.com"))
    other = World.of(mailing.settings.model_copy(update={"database_url": mailing.db.url}), clock=mailing.clock)

    async def deliver_all(world: World) -> int:
        taken = 0
        while count := await outbox.deliver_due(world, smtp(mailing)):
            taken += count
        return taken

    taken = await asyncio.gather(*(deliver_all(world) for world in (mailing, other, mailing, other)))
    await other.db.close()
    assert sum(taken) == 23
    assert Counter(came.to[0] for came in postbox.received) == {f"user-{number}@example.com": 1 for number in range(23)}
    assert {each.attempts for each in await rows(mailing)} == {1}


async def test_sent_letters_are_pruned_after_a_week(mailing: World, postbox: Postbox, clock: TurnedClock) -> None:
    await enqueue_notice(mailing)
    await postbox.letter(mailing)
    clock.forward(days=6, hours=23)
    await enqueue_notice(mailing)
    assert await data_lifecycle.prune_letters(mailing) == 0
    clock.forward(hours=1)
    assert await data_lifecycle.prune_letters(mailing) == 1
    clock.forward(days=30)
    assert await data_lifecycle.prune_letters(mailing) == 0
    assert len(await rows(mailing)) == 1


async def test_development_writes_files_that_only_the_owner_can_read(world: World, tmp_path: Path) -> None:
    home = replace(world, settings=world.settings.model_copy(update={"var": tmp_path / "var"}))
    transport = create_transport(home.settings)
    assert isinstance(transport, Folder)
    await enqueue_verification(home)
    assert await outbox.deliver_due(home, transport) == 1
    (file,) = (tmp_path / "var" / "mail").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert Received.read([], file.read_bytes()).token == TOKEN


async def test_a_letter_with_an_unknown_template_is_postponed(mailing: World, postbox: Postbox) -> None:
    """A row of an older release after an upgrade: it is retried, and given up in the end."""
    now = mailing.clock.now()
    values = {"id": UUID(int=1), "template": "gone", "locale": "en", "created_at": now, "due_at": now, "attempts": 0}
    async with mailing.db.write() as tx:
        await tx.execute(insert(Message).values(values))
    assert await postbox.collected(mailing) == []
    assert (await row(mailing)).last_error is not None
