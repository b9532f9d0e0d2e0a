"""A control group with a limit of memory (first or second version), where the system lets us make one: mostly for root alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOTS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max", "memory.peak"),
)
MIB = 1024 * 1024


@dataclass(frozen=True)
class Cage:
    """`enter` goes before a command line; `most` is the most that was ever taken, in MiB, page cache and all."""

    path: Path
    counter: str

    @property
    def enter(self) -> list[str]:
        return ["/bin/sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh"]

    def most(self) -> float:
        return int((self.path / self.counter).read_text(encoding="ascii")) / MIB


@contextmanager
def caged(megabytes: int) -> Iterator[Cage | None]:
    """None where there is no such group to be had."""
    made = _made(megabytes)
    try:
        yield made
    finally:
        if made is not None:
            made.path.rmdir()


def _made(megabytes: int) -> Cage | None:
    for root, limit, counter in ROOTS:
        path = root / f"chaos-{os.getpid()}"
        try:
            path.mkdir()
        except OSError:
            continue
        if (path / limit).exists():
            (path / limit).write_text(str(megabytes * MIB), encoding="ascii")
            return Cage(path, counter)
        path.rmdir()
    return None
