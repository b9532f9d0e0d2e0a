"""`python -m app …`"""

import signal
import sys

# As PID 1 a process without a handler ignores SIGTERM, and the imports below take a while: stop politely from the first line.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

from app.cli import run  # noqa: E402  after the handler, on purpose

if __name__ == "__main__":
    run()
