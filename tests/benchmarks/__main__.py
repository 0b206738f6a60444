"""All benchmarks, one table: what was measured, beside peers or a floor of the same run.

    python -m tests.benchmarks                      all of them, about an hour on two cores
    python -m tests.benchmarks relay checkout       some of them
    python -m tests.benchmarks relay --record       and docs/reference/figures.md has the new figures

Each benchmark tells on standard error what it does; the table goes to standard output. What else runs on the machine
falsifies it. It ends with 1 where a goal is missed or a benchmark fails, after all have run.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

from tests.benchmarks import table
from tests.benchmarks.records import DATA, PAGE, Record, page, read_from, record, write

BENCHMARKS = (
    "copying", "overhead", "pauses", "preflight", "extracting", "tracing", "throttle", "relay", "latency", "checkout",
)  # fmt: skip


def main(words: list[str] | None = None) -> int:
    """Prints the table; writes it as JSON where that is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="BENCHMARK", help=f"of {', '.join(BENCHMARKS)}; all without one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the figures and the machine there as well")
    parser.add_argument(
        "--record", action="store_true", help=f"puts them into {DATA.name} and {PAGE.name} of docs/reference"
    )
    asked = parser.parse_args(words)
    if unknown := [name for name in asked.names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    found: dict[str, Record] = {}
    failed: list[str] = []
    for name in asked.names or BENCHMARKS:
        began = time.monotonic()
        _say(f"--- {name}")
        try:
            with redirect_stdout(sys.stderr):
                found[name] = record(list(import_module(f"tests.benchmarks.{name}").figures()))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the others are still to run
            failed.append(name)
            _say(f"{name} failed: {error!r}")
        _say(f"    {time.monotonic() - began:.0f} s")
    figures = [figure for each in found.values() for figure in each.figures]
    print(table.text(figures))
    if asked.json:
        write(asked.json, found)
    if asked.record:
        write(DATA, {**read_from(DATA), **found})
        PAGE.write_text(page(read_from(DATA)))
    missed = [figure.name for figure in figures if figure.missed()]
    for what, names in (("failed", failed), ("missed a goal", missed)):
        if names:
            print(f"{what}: {', '.join(names)}")
    return 1 if failed or missed else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
