"""What the machine, or the container, gives this process: CPUs and memory. Linux tells; elsewhere the whole machine is ours."""

import os
from pathlib import Path

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Of the second and of the first version of control groups; what is not limited is a word, or a number beyond any machine."""
SHARE = 4
LEAST = 2


def count_hash_slots(hash_kib: int, processors: int, limit: int | None) -> int:
    """How many hashes may run at once: as many as there are CPUs, while all of them need a quarter of the memory at most."""
    return processors if limit is None else min(processors, max(LEAST, limit // SHARE // (hash_kib * 1024)))


def count_cpus() -> int:
    """Those that this process may use, and never fewer than two: a hash should not have to wait for a hash."""
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or LEAST
    return max(LEAST, min(known, 256))


def read_memory_limit(limits: tuple[str, ...] = LIMITS) -> int | None:
    """The limit in octets; None when nobody has set one."""
    for path in limits:
        try:
            told = Path(path).read_text(encoding="ascii").strip()
        except (OSError, UnicodeError):
            continue
        if told.isdigit() and int(told) < 1 << 50:
            return int(told)
    return None
