"""Concurrent logins, codes and tokens in one process, on both databases."""

from collections.abc import Awaitable, Callable, Iterator

import pytest

from app.security.passwords import PasswordHasher
from tests.concurrency import login_races
from tests.concurrency.seat_races import Clients, count_outcomes, run_at_once
from tests.given import Given


@pytest.fixture(autouse=True)
def widen_hash_pool(hasher: PasswordHasher) -> Iterator[None]:
    """Let all calls of a race reach the counters at once, instead of waiting for the hash pool."""
    slots, hasher.limiter.total_tokens = hasher.limiter.total_tokens, login_races.FIFTY
    yield
    hasher.limiter.total_tokens = slots


@pytest.mark.parametrize("race", login_races.RACES, ids=lambda race: race.__name__)
async def test_each_proof_is_accepted_once_under_concurrent_calls(given: Given, race: Callable[[Given, Clients], Awaitable[None]]) -> None:
    await race(given, [given.client])


async def test_r15_one_code_is_accepted_once_when_sent_with_the_password(given: Given) -> None:
    """Password and code are sent together, as command-line clients do."""
    person = await given.with_totp()
    body = {"identifier": person.email, "password": person.password, "totp": login_races.next_code(given, person)}
    calls = [login_races.post([given.client], n, "/v1/login", body) for n in range(login_races.THIRTY)]
    responses = count_outcomes(await run_at_once(calls))
    assert responses["200"] == 1
    assert set(responses) <= {"200", login_races.WRONG, login_races.LOCKED}
