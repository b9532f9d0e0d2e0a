"""`python -m ops.bench`: start everything, measure on the loopback, print the results, and stop everything.

After the table come failed logins side by side (ops/bench/silence.py); `--silence` plays those alone. `--million`, `--export` and
`--soak` play another piece instead (ops/bench/million.py, ops/bench/exporting.py, ops/bench/soak.py); `make bench` plays all but the soak.
"""

import argparse
import signal
import sys

import uvloop

from ops.bench import accepts, exporting, million, report, silence, soak
from ops.bench.load import WrongAnswer
from ops.bench.paths import paths
from ops.bench.rounds import play
from ops.bench.seed import seed
from ops.bench.stage import Stage, stage

LONGEST = 30.0
"""Seconds of one path over all rounds: a run must end before access tokens expire after ten minutes."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each path in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="paths whose name begins with this, in addition to floor and ceiling")
    parser.add_argument("--silence", action="store_true", help="only this: failed logins of unknown, known and suspended users (a minute)")
    parser.add_argument(
        "--million", action="store_true", help="only this: validate among 1,000,000 licenses compared with 10,000 (two minutes)"
    )
    parser.add_argument("--export", action="store_true", help="only this: export 1,000,000 agreement events (three minutes)")
    parser.add_argument("--soak", action="store_true", help="only this: two workers under mixed traffic")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the soak")
    options = parser.parse_args()
    if options.rounds < 1 or not 0.2 <= options.seconds <= LONGEST / options.rounds:
        parser.error(f"wants a round of at least 0.2 s and at most {LONGEST:.0f} s for a path over all rounds")
    return options


async def _run(on: Stage, options: argparse.Namespace) -> str:
    every = paths(on, await seed(on.settings))
    chosen = [path for path in every if path.name in {"floor", "ceiling"} or path.name.startswith(options.only)]
    results = await play(on, chosen, options.rounds, options.seconds)
    table = report.show(results, on.idle, on.app.megabytes())
    return f"{table}\n{await accepts.compared(on, options.rounds, options.seconds)}" if "accepts".startswith(options.only) else table


def _play(options: argparse.Namespace) -> None:
    if options.million:
        print(million.compared(options.rounds, options.seconds))
    elif options.export:
        exporting.show()
    elif options.soak:
        print(soak.soaked(uvloop.run, options.minutes))
    else:
        with stage() as on:
            if not options.silence:
                print(uvloop.run(_run(on, options)))
            if options.silence or not options.only:
                print(uvloop.run(silence.compared(on)))


def main() -> None:
    options = _options()
    for asked in (signal.SIGINT, signal.SIGTERM):  # the first too: a shell's background job would ignore it
        signal.signal(asked, signal.default_int_handler)
    try:
        _play(options)
    except WrongAnswer as wrong:
        sys.exit(f"a wrong answer ends the run. {wrong}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
