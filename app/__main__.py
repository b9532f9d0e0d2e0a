"""`python -m app …`"""

import gc
import os
import signal
import sys

STOPPED = 128 + signal.SIGTERM

# As PID 1 a process without a handler ignores SIGTERM, and the imports below take a while: stop from the first line. At once, for
# SystemExit in the middle of an import may come out as another exception (inside `__set_name__`, until Python 3.12).
signal.signal(signal.SIGTERM, lambda *_: os._exit(STOPPED))


def main() -> None:
    """`health` runs every few seconds beside the server, so it imports nothing of it."""
    if sys.argv[1:2] == ["health"]:
        from app.cli.healthcheck import health  # noqa: PLC0415  see above

        sys.exit(health(sys.argv[2:]))
    gc.disable()  # what imports make stays; looking for garbage in it was a fifth of the start
    from app.cli.commands import run  # noqa: PLC0415  after the handler and the probe

    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    run()


if __name__ == "__main__":
    main()
