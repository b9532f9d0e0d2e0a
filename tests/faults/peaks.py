"""What a server process takes and how fast it answers, seen from outside."""

import json
import os
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import Any


def resident_memory(pid: int, what: str = "VmRSS") -> float:
    """Resident memory in MiB; `VmHWM` is the most that it ever was (proc(5))."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.partition(f"{what}:")[2].split()[0]) / 1024


def load_factor() -> float:
    """By how much more work there is for the machine than it has CPUs: bounds on time are stretched by it."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def peak_memory(pid: int) -> float:
    return resident_memory(pid, "VmHWM")


@dataclass(frozen=True)
class Probe:
    """One answer, and how many seconds it took."""

    seconds: float
    status: int
    body: dict[str, Any]


def probe(base: str, path: str) -> Probe:
    """For a thread, by a connection of its own, so that only the server's time is measured and not that of clients in the same loop."""
    start = perf_counter()
    with closing(HTTPConnection(base.partition("//")[2].strip("/"), timeout=30)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return Probe(perf_counter() - start, answer.status, json.loads(answer.read()))


def read_response_times(log: Path) -> list[float]:
    """How long each answer took the server, in seconds, by its own access log."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{") and line.endswith("}")]
    return [line["ms"] / 1000 for line in lines if "ms" in line]
