"""Generates the keys of a development environment once. They begin with a mark, by which production refuses them."""

import base64
import os
from pathlib import Path
from typing import Any

from app.base.entropy import Entropy
from app.config.keys import DEVELOPMENT_MARK, KEY_BYTES

KID = "dev1"
_PREFIXES = {"encryption_keys": f"{KID}:", "lookup_key": ""}


def add_missing_secrets(values: dict[str, Any], var: Path) -> dict[str, Any]:
    """Return the values plus the missing keys, read from files in `var` that are created if needed. Raises OSError."""
    return {name: prefix + _read_or_create(var / f"{name}.key") for name, prefix in _PREFIXES.items() if name not in values} | values


def _read_or_create(path: Path) -> str:
    """Return the key in the file; create the file if there is none. Only its owner can read it.

    Two processes that start at the same time use the same key: the first hard link wins.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    key = DEVELOPMENT_MARK + Entropy().random_bytes(KEY_BYTES - len(DEVELOPMENT_MARK))
    draft.write_text(base64.b64encode(key).decode(), encoding="ascii")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text(encoding="ascii")
