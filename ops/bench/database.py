"""`python -m ops.bench.database`: the tests' throw-away PostgreSQL in a process of its own. Ctrl-C does not reach it, so that the
server still has a database while it stops; it ends when its standard input does, whatever became of the run."""

import sys

from tests import postgres


def main() -> None:
    server = postgres.start()
    try:
        print(server.home, server.user, flush=True)
        sys.stdin.read()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
