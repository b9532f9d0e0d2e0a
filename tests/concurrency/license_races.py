"""The license races that run in one process and over two servers."""

from collections.abc import Awaitable, Callable

from tests.concurrency import seat_races, term_races
from tests.concurrency.seat_races import Clients
from tests.given import Given

Race = Callable[[Given, Clients], Awaitable[object]]
RACES: tuple[Race, ...] = (
    seat_races.last_seat,
    seat_races.same_device,
    seat_races.seats_of_each_user,
    seat_races.seats_by_user,
    seat_races.seats_of_processes,
    seat_races.code_uses,
    seat_races.code_without_seat,
    seat_races.code_of_one_device,
    term_races.usage,
    term_races.first_activation,
    term_races.one_trial,
    term_races.user_removed,
    term_races.other_kind,
    term_races.guesses,
)
