"""`python -m app health [URL]`: is the server ready? For container health checks; light, for it runs beside the server."""

import json
import os
import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

TIMEOUT = 4.0


def health(arguments: list[str]) -> int:
    """Exit code 0 when `/readyz` says ready, 1 with the faults on stderr when not."""
    port, host = _said("PORT") or "8000", _said("HOST")
    host = "127.0.0.1" if host in {"", "0.0.0.0", "::"} else host  # noqa: S104  what is compared with, not bound to
    place = (arguments[0] if arguments else f"{host}:{port}").removeprefix("http://").rstrip("/")
    try:
        with closing(HTTPConnection(place, timeout=TIMEOUT)) as connection:
            connection.request("GET", "/readyz")
            faults = json.loads(connection.getresponse().read())["faults"]
    except (OSError, HTTPException, ValueError, KeyError) as error:
        faults = [f"no answer ({type(error).__name__})"]
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


def _said(name: str) -> str:
    """A setting, or what is in the file that is named for it; the whole settings would cost a second of start-up each time."""
    plain, file = os.environ.get(f"LICENTIA_{name}", ""), os.environ.get(f"LICENTIA_{name}_FILE", "")  # noqa: TID251  see above
    try:
        return plain or (Path(file).read_text(encoding="utf-8").strip() if file else "")
    except (OSError, UnicodeError):
        return ""
