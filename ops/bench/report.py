"""The table and the sentences below it. Medians over the rounds; a ratio is the median of the ratios within each round."""

from collections.abc import Iterator, Mapping
from statistics import median

from ops.bench.rounds import HASHING, Played, Results

WANTED: Mapping[str, float] = {
    "validate 16": 0.65,
    "validate 64": 0.55,
    "access 16": 0.35,
    "me 16": 0.45,
    "activate, 2000 licenses 16": 0.30,
    "activate, one license 16": 0.30,
}
"""Ratios to the ceiling at the same number of clients (performance.md)."""
HEAD = ("path", "clients", "requests/s", "p50 ms", "p99 ms", "cpu ms", "of floor", "of ceiling", "wanted")


def show(results: Results, idle: float, after: float) -> str:
    lines = [HEAD, *(_line(key, results) for key in results if key != HASHING)]
    table = "\n".join(f"{line[0]:26}" + "".join(f"{cell:>11}" for cell in line[1:]) for line in lines)
    return "\n".join([table, "", *_sentences(results, idle, after)])


def _line(key: str, results: Results) -> tuple[str, ...]:
    name, _, clients = key.rpartition(" ")
    rate, p50, p99 = (_median(results, key, each) for each in ("rate", "p50", "p99"))
    cpu = [each.cpu for each in results[key] if each.cpu is not None]
    ratios = [_format(_ratio(results, key, f"{yardstick} {clients}")) for yardstick in ("floor", "ceiling")]
    wanted = f">= {WANTED[key]:.2f}" if key in WANTED else ""
    return (name, clients, f"{rate:.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{median(cpu):.2f}" if cpu else "", *ratios, wanted)


def _median(results: Results, key: str, name: str) -> float:
    return float(median(getattr(each, name) for each in results[key]))


def _ratio(results: Results, key: str, yardstick: str, name: str = "rate") -> float | None:
    if key not in results or yardstick not in results:
        return None
    return median(_over(each, by, name) for each, by in zip(results[key], results[yardstick], strict=True))


def _over(each: Played, by: Played, name: str) -> float:
    return float(getattr(each, name) / getattr(by, name))


def _format(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _sentences(results: Results, idle: float, after: float) -> Iterator[str]:
    if HASHING in results:
        yield f"{HASHING} in threads, the service's settings: {_median(results, HASHING, 'rate'):.1f}/s"
    for key in (key for key in results if key.startswith("log in")):
        yield f"{key.rpartition(' ')[0]}: {_format(_ratio(results, key, HASHING))} of raw Argon2id (wanted >= 0.90)"
    if "healthz during logins 1" in results:
        yield f"/healthz during logins: p99 {_median(results, 'healthz during logins 1', 'p99'):.1f} ms (wanted < 50)"
    if (remaining := _ratio(results, "validate during logins 16", "validate 16")) is not None:
        yield f"validate with 4 clients that log in keeps {remaining:.2f} of itself (wanted >= 0.50)"
    for yardstick, wanted in (("ceiling 16", " (wanted <= 1.80)"), ("floor 16", "")):
        if (dear := _ratio(results, "validate 16", yardstick, "cpu")) is not None:
            yield f"server CPU of one validate: {dear:.2f} of the {yardstick.removesuffix(' 16')}'s{wanted}"
    yield f"memory of the worker: idle {idle:.0f} MB (wanted <= 120), after the run {after:.0f} MB"
