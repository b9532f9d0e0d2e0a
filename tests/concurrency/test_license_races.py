"""Concurrent license calls in one process, on both databases."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import or_, select

from app.events.models import Event
from tests.clock import TurnedClock
from tests.concurrency import license_races, seat_races, term_races
from tests.concurrency.license_races import Race
from tests.concurrency.seat_races import Body
from tests.given import Given

RACES: tuple[Race, ...] = (*license_races.RACES, term_races.guesses_of_one_key)


class TickingClock(TurnedClock):
    """A clock that advances a millisecond at every reading, so that no two readings are equal."""

    def now(self) -> datetime:
        return self.forward(milliseconds=1)


@pytest.fixture
def clock() -> TurnedClock:
    return TickingClock()


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
async def test_r34_limits_hold_under_concurrent_calls(given: Given, race: Race) -> None:
    await race(given, [given.client])


@pytest.mark.parametrize("left", range(2, 26, 2))
async def test_r23_an_expiring_seat_is_either_renewed_or_taken_over(given: Given, left: int) -> None:
    async def near(activation: Body) -> datetime:
        ends = datetime.fromisoformat(activation["lease_expires_at"])
        given.clock.moment = ends - timedelta(milliseconds=left)
        return ends

    await seat_races.lapse(given, [given.client], "PT30M", near)


async def list_event_types(given: Given, license_: Body) -> list[str]:
    """List the license's event types in the order of its lock; identifiers of one process are strictly increasing."""
    condition = or_(Event.subject_id == UUID(license_["id"]), Event.data["license"].as_string() == license_["id"])
    async with given.world.db.query() as tx:
        return [row.type for row in await tx.execute(select(Event.type).where(condition).order_by(Event.id))]


async def test_r50_the_old_key_activates_nothing_after_its_rotation(given: Given) -> None:
    types = await list_event_types(given, await term_races.rotated(given, [given.client]))
    assert "activation.taken" not in types[types.index("license.key_rotated") :]


async def test_r2_no_activation_follows_a_suspension(given: Given) -> None:
    types = await list_event_types(given, await term_races.suspended(given, [given.client]))
    assert "activation.taken" not in types[types.index("license.suspended") :]


async def test_r28_no_activation_exceeds_the_smaller_policy(given: Given) -> None:
    types = await list_event_types(given, await term_races.smaller_policy(given, [given.client]))
    change = types.index("license.policy_changed")
    before, after = (part.count("activation.taken") for part in (types[:change], types[change:]))
    assert before <= 12
    assert after <= max(0, 3 - before)
