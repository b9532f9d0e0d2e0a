"""The secrets that development makes for itself, once, and that production refuses: they carry a mark."""

import base64
import os
from pathlib import Path
from typing import Any

from app.base.entropy import Entropy
from app.config.keys import DEVELOPMENT_MARK, KEY_BYTES

KID = "dev1"
_MADE = {"encryption_keys": f"{KID}:", "lookup_key": ""}


def add_missing_secrets(given: dict[str, Any], var: Path) -> dict[str, Any]:
    """What was given, with what is missing from `var`, where it is made if it is not there. Raises OSError."""
    return {name: prefix + _kept(var / f"{name}.key") for name, prefix in _MADE.items() if name not in given} | given


def _kept(path: Path) -> str:
    """A secret made once and kept for the owner alone; two first starts at once agree on one."""
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
