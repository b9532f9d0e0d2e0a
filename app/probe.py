"""`python -m app health [URL]`: is the server ready? For container health checks; light, for it runs beside the server."""

import json
import os
import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException

PATIENCE = 4.0


def health(arguments: list[str]) -> int:
    """Exit code 0 when `/readyz` says ready, 1 with the faults on stderr when not."""
    port = os.environ.get("LICENTIA_PORT", "8000")  # noqa: TID251  the whole settings would cost a second of start-up each time
    host = os.environ.get("LICENTIA_HOST", "")  # noqa: TID251  the same
    host = "127.0.0.1" if host in {"", "0.0.0.0", "::"} else host  # noqa: S104  what is compared with, not bound to
    place = (arguments[0] if arguments else f"{host}:{port}").removeprefix("http://").rstrip("/")
    try:
        with closing(HTTPConnection(place, timeout=PATIENCE)) as connection:
            connection.request("GET", "/readyz")
            faults = json.loads(connection.getresponse().read())["faults"]
    except (OSError, HTTPException, ValueError, KeyError) as error:
        faults = [f"no answer ({type(error).__name__})"]
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0
