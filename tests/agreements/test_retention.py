"""agreements R26 with a test clock: what is deleted after its time, in batches, and what is kept."""

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


async def hold(given: Given, person: Person, *, is_held: bool) -> None:
    path = f"/v1/users/{person.id}/evidence/legal-hold"
    given.expect(await (given.client.put if is_held else given.client.delete)(path, headers=given.root))


async def whole(given: Given) -> bool:
    verdict = await given.post("/v1/ledger/verify")
    return bool(verdict["valid"])


async def test_r26_showings_that_led_to_nothing_go_after_90_days(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agreements R26: not a day earlier, in bounded batches; decided ones are kept, and so is everything under legal hold."""
    monkeypatch.setattr(pruning, "BATCH", 2)
    agreement = await making.create_in_force(given)
    person, other = await given.logged_in(), await given.logged_in()
    for _ in range(5):
        await making.present(given, person, agreement)
    await making.present(given, other, agreement)
    await hold(given, other, is_held=True)
    await making.accept(given, person, agreement)
    given.clock.forward(days=90)
    assert await data_lifecycle.prune_presentations(given.world) == 0
    given.clock.forward(hours=1)
    assert [await data_lifecycle.prune_presentations(given.world) for _ in range(4)] == [2, 2, 1, 0]
    assert await count(given, AgreementPresentation) == 2
    await hold(given, other, is_held=False)
    assert await data_lifecycle.prune_presentations(given.world) == 1
    assert await whole(given)


async def apart(work: Coroutine[Any, Any, Made]) -> asyncio.Task[Made]:
    """Start the work in a task and give it time to run until it waits."""
    task = asyncio.create_task(work, context=Context())
    await asyncio.wait({task}, timeout=0.3)
    return task


async def old_showing(given: Given) -> UUID:
    """Create an expired presentation; return its user."""
    person = await given.logged_in()
    await making.present(given, person, await making.create_in_force(given))
    given.clock.forward(days=91)
    return UUID(person.id)


async def test_r25_a_showing_stays_whose_legal_hold_is_being_set(given: Given) -> None:
    """Agreements R25: a deletion that starts before the hold is committed skips the presentation."""
    user, world = await old_showing(given), given.world
    async with world.db.hold_commit() as pending:
        await evidence.set_legal_hold(world.for_request(pending), Actor.system(), user, active=True)
        sweep = await apart(data_lifecycle.prune_presentations(world))
        async with world.db.commit_with(pending):
            pass
    assert (await sweep, await count(given, AgreementPresentation)) == (0, 1)


async def test_r25_no_showing_goes_after_its_legal_hold_was_answered(given: Given) -> None:
    """Agreements R25: a hold set during a deletion waits for it, so everything left after it is kept."""
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
    """Agreements R26: counted from when the successor took effect; the current version's contexts and all under legal hold are kept."""
    monkeypatch.setattr(data_lifecycle, "BATCH", 2)
    agreement = await making.create_in_force(given)
    old, protected, late = [await given.logged_in() for _ in range(3)]
    for person in (old, protected):
        await making.accept(given, person, agreement)
    for _ in range(3):
        given.expect(await making.decide(given, old, await making.present(given, old, agreement), "decline"))
    await hold(given, protected, is_held=True)
    given.clock.forward(days=400)
    await making.create_published(given, agreement, effective_at=making.days_from_now(given, 1))
    given.clock.forward(days=1)
    await given.logged_in(late)
    await making.accept(given, late, agreement)
    await seals.seal_events(given.world)
    given.clock.forward(days=730)
    assert await data_lifecycle.prune_contexts(given.world) == 0
    given.clock.forward(days=1)
    assert [await data_lifecycle.prune_contexts(given.world) for _ in range(3)] == [2, 2, 0]
    assert await count(given, AgreementEventContext) == 2
    assert await whole(given)
    await hold(given, protected, is_held=False)
    assert await data_lifecycle.prune_contexts(given.world) == 1
    assert await count(given, AgreementEventContext) == 1
    assert await whole(given)
