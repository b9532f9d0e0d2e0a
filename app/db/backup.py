"""A copy of a SQLite database that is being written: one snapshot, in one file, of a name that was free (sqlite.org/lang_vacuum.html)."""

import os
import sqlite3
from pathlib import Path

OWNER_ONLY = 0o600


class NotCopied(Exception):
    """There is no copy, and the sentence says why."""


def file_of(url: str) -> Path:
    """Where the database of a `sqlite+aiosqlite:///` address is."""
    return Path(url.partition(":///")[2])


def copied(url: str, target: Path) -> int:
    """Copy the database of a `sqlite+aiosqlite:///` address; how many octets. The copy is looked through before it gets its name.

    Readers and writers go on meanwhile. Raises NotCopied.
    """
    source = file_of(url)
    if target.exists():
        raise NotCopied(f"{target} is there already")
    if not source.exists():
        raise NotCopied("there is no database yet")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _vacuumed(source, draft)
        draft.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise NotCopied(f"the copy failed: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return target.stat().st_size


def _vacuumed(source: Path, draft: Path) -> None:
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))  # an empty file is taken as it is
    live = sqlite3.connect(source, timeout=10)
    try:
        live.execute("VACUUM INTO ?", (str(draft),))
    finally:
        live.close()
    copy = sqlite3.connect(draft)
    try:
        (told,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    finally:
        copy.close()
    if told != "ok":
        raise NotCopied(f"the database is damaged: {told}")
    with draft.open("rb") as written:
        os.fsync(written.fileno())
