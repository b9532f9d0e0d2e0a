"""Check that a request which runs during a shutdown is answered, while new connections are refused.

    python3 deploy/in_flight.py PORT OPERATOR_KEY_FILE COMMAND…

Sends half of a request, runs the command (which stops the service gracefully), waits until new connections are refused, and sends the
other half. The exit code is 0 if the expected response arrives.
"""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

TIMEOUT = 5.0


def wait_until_refused(port: int) -> bool:
    """Wait until the port refuses connections; return whether it did within the timeout."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return True
        time.sleep(0.05)
    return False


def main(port: int, key: str, stop: list[str]) -> int:
    body = json.dumps({"code": "in-flight", "name": "Written during the shutdown"}).encode()
    head = f"POST /v1/products HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
        connection.sendall(head.encode() + body[:10])
        time.sleep(0.5)
        subprocess.run(stop, check=True)  # noqa: S603  the command of the caller
        refused = wait_until_refused(port)
        connection.sendall(body[10:])
        status_line = connection.makefile("rb").readline().decode()
    sys.stdout.write(f"in flight: {status_line.strip()}; new connections were {'refused' if refused else 'still accepted'}\n")
    return 0 if refused and " 201 " in status_line else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="ascii").strip(), sys.argv[3:]))
