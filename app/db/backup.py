"""Copies a SQLite database that is in use into a new file, as one consistent snapshot (sqlite.org/lang_vacuum.html)."""

import errno
import os
import sqlite3
import tempfile
from pathlib import Path

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
"""Errors of link(2) on file systems without hard links, such as many network shares."""


class CopyFailed(Exception):
    """The database was not copied; the message says why."""


def database_file(url: str) -> Path:
    """Return the file of a `sqlite+aiosqlite:///` URL."""
    return Path(url.partition(":///")[2])


def copy_database(url: str, target: Path) -> int:
    """Copy the database of a `sqlite+aiosqlite:///` URL, and return the number of bytes.

    The copy is checked before it gets its name, and synced to the disk. Readers and writers continue meanwhile. Raises CopyFailed.
    """
    source = database_file(url)
    if target.exists():
        raise CopyFailed(f"{target} already exists; choose another file")
    if not source.exists():
        raise CopyFailed("there is no database yet; run `python -m app migrate`")
    try:
        _copy(source, target)
    except FileExistsError:
        raise CopyFailed(f"another process has created {target}; choose another file") from None
    except (OSError, sqlite3.Error) as error:
        raise CopyFailed(f"the copy failed: {error}") from error
    return target.stat().st_size


def _copy(source: Path, target: Path) -> None:
    opened, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # readable by its owner only
    os.close(opened)
    draft = Path(name)
    try:
        _vacuum(source, draft)
        _publish(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    _sync(target.parent)


def _publish(draft: Path, target: Path) -> None:
    """Give the copy its final name. Unlike a rename, this never replaces another file. Raises FileExistsError."""
    try:
        os.link(draft, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # reserves the name with an empty file
        draft.replace(target)


def _vacuum(source: Path, draft: Path) -> None:
    """Copy into the empty draft file and check the copy."""
    live = sqlite3.connect(source, timeout=10)
    try:
        live.execute("VACUUM INTO ?", (str(draft),))
    finally:
        live.close()
    copy = sqlite3.connect(draft)
    try:
        (result,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    finally:
        copy.close()
    if result != "ok":
        raise CopyFailed(f"the database is damaged, so the copy was deleted: {result}")
    _sync(draft)


def _sync(path: Path) -> None:
    """Write a file's content, or a folder's names, to the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
