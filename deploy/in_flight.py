"""A request that runs while the service is told to stop: it must be answered, while nobody new is let in.

    python3 deploy/in_flight.py PORT OPERATOR_KEY_FILE COMMAND…

Sends half of a request, runs the command (which ends the service politely), waits until the door is closed to others, sends the
other half, and ends with 0 if the answer is the one that was due.
"""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 5.0


def closed(port: int) -> bool:
    """Whether nobody new is let in any more, before the patience ends."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return True
        time.sleep(0.05)
    return False


def main(port: int, key: str, stop: list[str]) -> int:
    body = json.dumps({"code": "in-flight", "name": "Written while leaving"}).encode()
    head = f"POST /v1/products HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line:
        line.sendall(head.encode() + body[:10])
        time.sleep(0.5)
        subprocess.run(stop, check=True)  # noqa: S603  the command that was given
        shut = closed(port)
        line.sendall(body[10:])
        answer = line.makefile("rb").readline().decode()
    sys.stdout.write(f"in flight: {answer.strip()}; {'nobody new was let in' if shut else 'others were still let in'}\n")
    return 0 if shut and " 201 " in answer else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="ascii").strip(), sys.argv[3:]))
