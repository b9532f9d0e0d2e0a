"""`python -m app …`"""

import gc
import os
import signal
import sys

STOPPED = 128 + signal.SIGTERM

# As PID 1 a process without a handler ignores SIGTERM, and the imports below take a while. `os._exit`, because SystemExit during an
# import may become another exception (inside `__set_name__`, until Python 3.12).
signal.signal(signal.SIGTERM, lambda *_: os._exit(STOPPED))


def main() -> None:
    """Run the command line. `health` runs every few seconds next to the server, so it does not import the server."""
    if sys.argv[1:2] == ["health"]:
        from app.cli.healthcheck import check_health  # noqa: PLC0415  see above

        sys.exit(check_health(sys.argv[2:]))
    gc.disable()  # imported objects live until the end; collecting garbage took a fifth of the start
    from app.cli.commands import run  # noqa: PLC0415  after the signal handler and `health`

    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    run()


if __name__ == "__main__":
    main()
