"""agreements R26 by the turned clock: what goes after its time, in batches, and what stays whatever the time."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import func, select

from app.agreements import data_lifecycle
from app.agreements.ledger import seals
from app.agreements.models import AgreementEventContext, AgreementPresentation
from app.agreements.verification import evidence
from app.db import pruning
from app.events.service import Actor
from tests.agreements import making
from tests.given import Given, Person

Made = TypeVar("Made")


async def count(given: Given, model: Any) -> int:
    async with given.world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(model)) or 0)


async def hold(given: Given, person: Person, *, held: bool) -> None:
    path = f"/v1/users/{person.id}/evidence/legal-hold"
    given.expect(await (given.client.put if held else given.client.delete)(path, headers=given.root))


async def whole(given: Given) -> bool:
    verdict = await given.post("/v1/ledger/verify")
    return bool(verdict["valid"])


async def test_r26_showings_that_led_to_nothing_go_after_90_days(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agreements R26: not a day earlier, in bounded batches; what was decided stays, and so does all under legal hold."""
    monkeypatch.setattr(pruning, "BATCH", 2)
    found = await making.create_in_force(given)
    person, other = await given.logged_in(), await given.logged_in()
    for _ in range(5):
        await making.present(given, person, found)
    await making.present(given, other, found)
    await hold(given, other, held=True)
    await making.accept(given, person, found)
    given.clock.forward(days=90)
    assert await data_lifecycle.prune_presentations(given.world) == 0
    given.clock.forward(hours=1)
    assert [await data_lifecycle.prune_presentations(given.world) for _ in range(4)] == [2, 2, 1, 0]
    assert await count(given, AgreementPresentation) == 2
    await hold(given, other, held=False)
    assert await data_lifecycle.prune_presentations(given.world) == 1
    assert await whole(given)


async def apart(work: Coroutine[Any, Any, Made]) -> asyncio.Task[Made]:
    """Begun in a transaction of its own, and given time to do what it can."""
    task = asyncio.create_task(work, context=Context())
    await asyncio.wait({task}, timeout=0.3)
    return task


async def old_showing(given: Given) -> UUID:
    """A showing whose time is over; whose it is."""
    person = await given.logged_in()
    await making.present(given, person, await making.create_in_force(given))
    given.clock.forward(days=91)
    return UUID(person.id)


async def test_r25_a_showing_stays_whose_legal_hold_is_being_set(given: Given) -> None:
    """Agreements R25: a sweep that begins before the hold stands passes the showing by."""
    user, world = await old_showing(given), given.world
    async with world.db.hold_commit() as pending:
        await evidence.set_legal_hold(world.for_request(pending), Actor.system(), user, active=True)
        sweep = await apart(data_lifecycle.prune_presentations(world))
        async with world.db.commit_with(pending):
            pass
    assert (await sweep, await count(given, AgreementPresentation)) == (0, 1)


async def test_r25_no_showing_goes_after_its_legal_hold_was_answered(given: Given) -> None:
    """Agreements R25: a hold that comes in the middle of a sweep stands only when that is over, so that what was there then stays."""
    user, world = await old_showing(given), given.world
    async with world.db.hold_commit() as pending:
        assert await data_lifecycle.prune_presentations(world.for_request(pending)) == 1
        hold_ = await apart(evidence.set_legal_hold(world, Actor.system(), user, active=True))
        answered = hold_.done()
        async with world.db.commit_with(pending):
            pass
    await hold_
    assert not answered
    assert await count(given, AgreementPresentation) == 0


async def test_r26_contexts_go_24_months_after_their_version_was_superseded(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agreements R26: counted from the successor's taking effect; the version in force keeps its own, a legal hold keeps all, the chain verifies."""
    monkeypatch.setattr(data_lifecycle, "BATCH", 2)
    found = await making.create_in_force(given)
    old, held, late = [await given.logged_in() for _ in range(3)]
    for person in (old, held):
        await making.accept(given, person, found)
    for _ in range(3):
        given.expect(await making.decide(given, old, await making.present(given, old, found), "decline"))
    await hold(given, held, held=True)
    given.clock.forward(days=400)
    await making.create_published(given, found, effective_at=making.days_from_now(given, 1))
    given.clock.forward(days=1)
    await given.logged_in(late)
    await making.accept(given, late, found)
    await seals.seal_events(given.world)
    given.clock.forward(days=730)
    assert await data_lifecycle.prune_contexts(given.world) == 0
    given.clock.forward(days=1)
    assert [await data_lifecycle.prune_contexts(given.world) for _ in range(3)] == [2, 2, 0]
    assert await count(given, AgreementEventContext) == 2
    assert await whole(given)
    await hold(given, held, held=False)
    assert await data_lifecycle.prune_contexts(given.world) == 1
    assert await count(given, AgreementEventContext) == 1
    assert await whole(given)
