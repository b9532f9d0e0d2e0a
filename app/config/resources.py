"""The CPUs, memory and file descriptors of this process. Linux reports a container's limits; elsewhere the whole machine is used."""

import os
from contextlib import suppress
from pathlib import Path

MEMORY_LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""The files of control groups version 2 and 1. Without a limit they contain a word, or a number larger than any memory."""
MEMORY_SHARE = 4
"""All concurrent password hashes together may use this fraction of the memory: one fourth."""
MIN_CPUS = 2
MAX_CPUS = 256


def count_hash_slots(hash_kib: int, processors: int, limit: int | None) -> int:
    """Return how many hashes may run at once: one on each CPU, and together in at most a quarter of the memory.

    `hash_kib`: memory of one hash. `limit`: bytes of memory, None if unknown.
    """
    return processors if limit is None else min(processors, max(MIN_CPUS, limit // MEMORY_SHARE // (hash_kib * 1024)))


def count_cpus() -> int:
    """Return the number of CPUs that this process may use; at least two, so that one hash does not wait for another."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or MIN_CPUS
    return max(MIN_CPUS, min(cpus, MAX_CPUS))


def read_memory_limit(files: tuple[str, ...] = MEMORY_LIMIT_FILES) -> int | None:
    """Return the memory limit in bytes; None if there is none."""
    for file in files:
        try:
            text = Path(file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeError):
            continue
        if text.isdigit() and int(text) < 1 << 50:
            return int(text)
    return None


def raise_descriptor_limit() -> int | None:
    """Raise the soft limit of file descriptors to the hard limit and return it; None without a limit, as on Windows."""
    try:
        import resource  # noqa: PLC0415  not on Windows
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems report a hard limit that they do not accept
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return None if soft == resource.RLIM_INFINITY else soft
