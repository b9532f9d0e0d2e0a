"""A control group with a limit of memory (first or second version), if the system allows one, usually only for root."""

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
    """`enter` goes before a command line; `most` is the peak of used memory in MiB, page cache included."""

    path: Path
    counter: str

    @property
    def enter(self) -> list[str]:
        return ["/bin/sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh"]

    def most(self) -> float:
        return int((self.path / self.counter).read_text(encoding="ascii")) / MIB


@contextmanager
def caged(megabytes: int) -> Iterator[Cage | None]:
    """Yield None if no such group can be created."""
    cage = _create(megabytes)
    try:
        yield cage
    finally:
        if cage is not None:
            cage.path.rmdir()


def _create(megabytes: int) -> Cage | None:
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
