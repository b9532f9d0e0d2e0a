"""Measures the memory and the response times of a server process from outside."""

import json
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.assertions import DEADLINE


def resident_memory(pid: int, field: str = "VmRSS") -> float:
    """Return the resident memory in MiB; with `VmHWM` its peak (proc(5))."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.partition(f"{field}:")[2].split()[0]) / 1024


def peak_memory(pid: int) -> float:
    return resident_memory(pid, "VmHWM")


@dataclass(frozen=True)
class Probe:
    """One response and its time in seconds."""

    seconds: float
    status: int
    body: dict[str, Any]


def probe(base: str, path: str) -> Probe:
    """Request the path over a new connection. Run it in a thread, so that clients in the event loop do not add to the time."""
    start = perf_counter()
    with closing(HTTPConnection(base.partition("//")[2].strip("/"), timeout=DEADLINE)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return Probe(perf_counter() - start, response.status, json.loads(response.read()))


def read_response_times(log: Path) -> list[float]:
    """Return the time of each response in seconds, from the access log of the server."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{") and line.endswith("}")]
    return [line["ms"] / 1000 for line in lines if "ms" in line]
