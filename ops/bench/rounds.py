"""Plays the rounds: every path in turn, repeatedly, so that a slow moment of the machine affects all of them."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from app.config.settings import Settings
from app.security.passwords import PasswordHasher
from ops.bench.load import WrongAnswer, together
from ops.bench.paths import Path
from ops.bench.stage import Stage
from tests.given import PASSWORD

WARM_UP = 0.5
HASHING = "raw Argon2id"


@dataclass(frozen=True)
class Played:
    """One path in one round. Times in milliseconds; `cpu` is the server's, for one request."""

    rate: float
    p50: float
    p99: float
    cpu: float | None


Results = dict[str, list[Played]]


async def play(stage: Stage, paths: Sequence[Path], rounds: int, seconds: float) -> Results:
    """Return the results of every path by its key, one for each round; a short first round is discarded."""
    await _round(stage, paths, WARM_UP)
    results: Results = {}
    for _ in range(rounds):
        for key, played in (await _round(stage, paths, seconds)).items():
            results.setdefault(key, []).append(played)
    return results


async def _round(stage: Stage, paths: Sequence[Path], seconds: float) -> dict[str, Played]:
    played: dict[str, Played] = {}
    for path in paths:
        if path.name.startswith("log in") and HASHING not in played:
            played[HASHING] = Played(await asyncio.to_thread(hashing, stage.settings, seconds), 0, 0, None)
        played[path.key] = await _play(stage, path, seconds)
    return played


async def _play(stage: Stage, path: Path, seconds: float) -> Played:
    server = stage.server(path.server)
    works = [path.work(), *([path.load()] if path.load else [])]
    before = server.cpu()
    try:
        tally = (await together(works, seconds))[0]
    except WrongAnswer as wrong:
        raise WrongAnswer(f"{path.name}, {path.clients} clients: {wrong}") from None
    cpu = (server.cpu() - before) * 1000 / max(len(tally.waits), 1)
    return Played(tally.rate, tally.percentile(50), tally.percentile(99), None if path.load else cpu)


def hashing(settings: Settings, seconds: float) -> float:
    """Password checks per second in as many threads as the service uses, with its own hasher and nothing else."""
    hasher = PasswordHasher.of(settings)
    stored = hasher.context.hash(PASSWORD)
    slots, start = settings.hashes_at_once, perf_counter()
    with ThreadPoolExecutor(slots) as pool:
        done = sum(pool.map(_checks, [(hasher.context.verify, stored, start + seconds)] * slots))
    return done / (perf_counter() - start)


def _checks(task: tuple[Callable[[str, str], Any], str, float]) -> int:
    verify, stored, until = task
    done = 0
    while perf_counter() < until:
        assert verify(PASSWORD, stored)
        done += 1
    return done
