"""Logins, codes and tokens under many hands at once, in one process, on both databases."""

from collections.abc import Awaitable, Callable, Iterator

import pytest

from app.security.passwords import PasswordHasher
from tests.concurrency import login_races
from tests.concurrency.seat_races import Clients, at_once, told
from tests.given import Given


@pytest.fixture(autouse=True)
def room_for_all(hasher: PasswordHasher) -> Iterator[None]:
    """All of a race at the door of the counters at once, instead of a few of them before a full pool of hashes."""
    slots, hasher.limiter.total_tokens = hasher.limiter.total_tokens, login_races.FIFTY
    yield
    hasher.limiter.total_tokens = slots


@pytest.mark.parametrize("race", login_races.RACES, ids=lambda race: race.__name__)
async def test_exactly_as_many_get_in_as_there_is_proof_for(given: Given, race: Callable[[Given, Clients], Awaitable[None]]) -> None:
    await race(given, [given.client])


async def test_r15_one_code_in_thirty_logins_of_one_request(given: Given) -> None:
    """Password and code together, as from the command line."""
    person = await given.with_totp()
    body = {"identifier": person.email, "password": person.password, "totp": login_races.next_code(given, person)}
    calls = [login_races.post([given.client], n, "/v1/login", body) for n in range(login_races.THIRTY)]
    answers = told(await at_once(calls))
    assert answers["200"] == 1
    assert set(answers) <= {"200", login_races.WRONG, login_races.LOCKED}
