"""Response times of failed logins for all kinds of users that must not be distinguishable by them (authentication R11, R49).

One client asks for each kind in turn, so that what slows the machine for a while slows all of them; each name is tried once,
so that no lock comes in between. A second lot of unknown names is the yardstick: what tells it from the first is noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from app.security.passwords import SAMPLES as PADDING_SAMPLES
from app.users.models import UserStatus
from app.world import World
from ops.bench import crowd
from ops.bench.load import Work, drive, request
from ops.bench.paths import LOGINS
from ops.bench.stage import Stage
from tests.given import PASSWORD

WARM_UP, SAMPLES = 5, 5
"""Turns before the measurement; first tries at an imported hash."""
TIMEOUT = 300.0
UNKNOWN, AGAIN = "unknown", "unknown, again"
NATIVE: Mapping[str, Mapping[str, Any] | None] = {
    UNKNOWN: None,
    "wrong password": {},
    "suspended": {"status": UserStatus.SUSPENDED},
    "unverified": {"email_verified_at": None},
    "no password": {"hashed": None},
    AGAIN: None,
}
"""What is special about the users of each kind; None: there are no such users."""
LEGACY: Mapping[str, Mapping[str, Any]] = {
    "bcrypt": {"hashed": "$2b$10$yzu.hJEaV2MRcXSz2gCO4ecTZdB9tzevbcxAxW5mZZCwo4y3zj1jW"},
    "pbkdf2": {"hashed": "$pbkdf2-sha256$100000$G2PMOcd4rxUixBjDWGttzQ$knSibrZdwJM8c4e0ruZcyDgvdeZQ4rPF3dh9llD/5fQ"},
}
"""Hashes of other systems, at their usual costs: 2^10 and 100,000 rounds."""
Waits = Mapping[str, Sequence[float]]
"""Milliseconds of each try, by kind, in the order of the turns."""


@dataclass(frozen=True)
class Piece:
    """Kinds that are played together, and how many turns."""

    title: str
    kinds: Mapping[str, Mapping[str, Any] | None]
    turns: int


async def compared(on: Stage) -> str:
    """Both tables, and how a first try at an imported hash looks among others."""
    world = World.of(on.settings)
    try:
        pieces = [
            Piece("a failed login, while no imported hash is about", NATIVE, 60),
            Piece("the same among tries at imported hashes", {**NATIVE, **LEGACY}, 30),
        ]
        samples = [line for piece in pieces for line in _table(piece, await _played(on, world, piece))]
        return "\n".join([*samples, *await _first_tries(on, world)])
    finally:
        await world.db.close()


async def _played(on: Stage, world: World, piece: Piece) -> Waits:
    names = {kind: await _names(world, special, piece.turns + WARM_UP) for kind, special in piece.kinds.items()}
    order = [(kind, turn) for turn in range(piece.turns + WARM_UP) for kind in _rotated(list(names), turn)]
    tally = await drive(_work(on, iter([names[kind][turn] for kind, turn in order])), TIMEOUT)
    waits: dict[str, list[float]] = {kind: [] for kind in names}
    for (kind, turn), wait in zip(order, tally.waits, strict=True):
        if turn >= WARM_UP:
            waits[kind].append(wait * 1000)
    return waits


def _rotated(kinds: Sequence[str], turn: int) -> Sequence[str]:
    """Rotate the kinds, so that each follows each other one equally often."""
    start = turn % len(kinds)
    return [*kinds[start:], *kinds[:start]]


async def _names(world: World, special: Mapping[str, Any] | None, count: int) -> list[bytes]:
    """Requests that fail, each for a name of its own, whose users are there if the kind has any."""
    lot = world.entropy.identifier().hex
    emails = [f"{lot}-{number}@example.com" for number in range(count)]
    if special is not None:
        hashed = special.get("hashed", await world.hasher.hash(PASSWORD))
        more = {name: value for name, value in special.items() if name != "hashed"}
        await crowd.people(world, emails, hashed, imported=str(hashed).startswith(("$2", "$pbkdf2")), **more)
    return [request("POST", "/v1/login", {"identifier": email, "password": f"not {PASSWORD}"}) for email in emails]


def _work(on: Stage, requests: Iterator[bytes], clients: int = 1) -> Work:
    return Work(on.app.port, clients, requests, 401, b'"invalid_credentials"')


def _table(piece: Piece, waits: Waits) -> Iterator[str]:
    yield f"\n{piece.title}, {piece.turns} tries of each kind"
    yield f"{'kind':16}{'p10 ms':>9}{'median':>9}{'p90 ms':>9}{'minus unknown':>22}"
    for kind, samples in waits.items():
        tenths = quantiles(samples, n=10)
        differs = [mine - other for mine, other in zip(samples, waits[UNKNOWN], strict=True)]
        difference = "" if kind == UNKNOWN else f"{median(differs):+.2f} +- {_doubt(differs):.2f}"
        yield f"{kind:16}{tenths[0]:>9.2f}{median(samples):>9.2f}{tenths[-1]:>9.2f}{difference:>22}"
    medians = {kind: median(samples) for kind, samples in waits.items()}
    spread = max(medians.values()) - min(medians.values())
    noise = abs(medians[AGAIN] - medians[UNKNOWN])
    yield f"the medians lie within {spread:.2f} ms; two lots of unknown names are {noise:.2f} ms apart"


def _doubt(differs: Sequence[float]) -> float:
    """Half of the 95 % interval of the median, estimated from the middle half of a normal distribution."""
    quarters = quantiles(differs, n=4)
    return float(1.96 * 1.2533 * (quarters[2] - quarters[0]) / 1.349 / len(differs) ** 0.5)


async def _first_tries(on: Stage, world: World) -> list[str]:
    """A first try at an imported hash after as many others as the service remembers, and at an unknown name just before it."""
    samples: dict[str, list[float]] = {UNKNOWN: [], "bcrypt": []}
    for _ in range(SAMPLES):
        others = await _names(world, None, PADDING_SAMPLES)
        await drive(_work(on, iter(others), LOGINS), TIMEOUT)
        for kind, special in ((UNKNOWN, None), ("bcrypt", LEGACY["bcrypt"])):
            tally = await drive(_work(on, iter(await _names(world, special, 1))), TIMEOUT)
            samples[kind].append(tally.waits[0] * 1000)
    summary = ", ".join(f"{kind} {median(waits):.1f} ms ({min(waits):.1f} to {max(waits):.1f})" for kind, waits in samples.items())
    return ["", f"a first try after {PADDING_SAMPLES} at unknown names, {SAMPLES} times: {summary}"]
