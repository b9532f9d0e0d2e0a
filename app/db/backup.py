"""A copy of a SQLite database that is being written: one snapshot, in one file, of a name that was free (sqlite.org/lang_vacuum.html)."""

import errno
import os
import sqlite3
import tempfile
from pathlib import Path

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
"""What file systems say that know no second name of a file, such as those of many network shares (link(2))."""


class CopyFailed(Exception):
    """There is no copy, and the sentence says why."""


def database_file(url: str) -> Path:
    """Where the database of a `sqlite+aiosqlite:///` address is."""
    return Path(url.partition(":///")[2])


def copy_database(url: str, target: Path) -> int:
    """Copy the database of a `sqlite+aiosqlite:///` address; how many octets. The copy is looked through before it gets its name,
    and its name is on the disk when this ends.

    Readers and writers go on meanwhile. Raises CopyFailed.
    """
    source = database_file(url)
    if target.exists():
        raise CopyFailed(f"{target} is there already")
    if not source.exists():
        raise CopyFailed("there is no database yet")
    try:
        _made(source, target)
    except FileExistsError:
        raise CopyFailed(f"{target} is there by now") from None
    except (OSError, sqlite3.Error) as error:
        raise CopyFailed(f"the copy failed: {error}") from error
    return target.stat().st_size


def _made(source: Path, target: Path) -> None:
    opened, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # its owner's alone, of a name that nobody else has
    os.close(opened)
    draft = Path(name)
    try:
        _vacuumed(source, draft)
        _named(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    _synced(target.parent)


def _named(draft: Path, target: Path) -> None:
    """Never in the place of another file, as a rename alone would be. Raises FileExistsError."""
    try:
        os.link(draft, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # ours from now on; empty for a moment
        draft.replace(target)


def _vacuumed(source: Path, draft: Path) -> None:
    """Into an empty file, which SQLite takes as it is."""
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
        raise CopyFailed(f"the database is damaged: {told}")
    _synced(draft)


def _synced(path: Path) -> None:
    """A file's content, or a folder's names, is on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
