"""`python -m app health [URL]` checks whether the server is ready. Imports little, because containers run it often."""

import json
import os
import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

TIMEOUT = 4.0
"""Seconds to wait for the response."""


def check_health(arguments: list[str]) -> int:
    """Return exit code 0 if `/readyz` reports ready; otherwise 1, with the faults on stderr."""
    port, host = _read_setting("PORT") or "8000", _read_setting("HOST")
    host = "127.0.0.1" if host in {"", "0.0.0.0", "::"} else host  # noqa: S104  compared with, not bound to
    address = (arguments[0] if arguments else f"{host}:{port}").removeprefix("http://").rstrip("/")
    try:
        with closing(HTTPConnection(address, timeout=TIMEOUT)) as connection:
            connection.request("GET", "/readyz")
            faults = json.loads(connection.getresponse().read())["faults"]
    except (OSError, HTTPException, ValueError, KeyError) as error:
        faults = [f"no answer ({type(error).__name__})"]
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


def _read_setting(name: str) -> str:
    """Read one setting or the file it names. Loading all settings would add a second to each check."""
    value, file = os.environ.get(f"LICENTIA_{name}", ""), os.environ.get(f"LICENTIA_{name}_FILE", "")  # noqa: TID251  see above
    try:
        return value or (Path(file).read_text(encoding="utf-8").strip() if file else "")
    except (OSError, UnicodeError):
        return ""
