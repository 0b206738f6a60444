"""How long `strangler extract` takes, and how much memory, beside libcst which reads the same files once.

    python -m tests.benchmarks.extracting [APPS]

The command is run as a user runs it, with the start of its process, of the project that describes itself, and of the
service that Django checks. It cuts products out of the shop, and one app out of a generated project of half a million
lines in 115 apps which import each other. Each is timed on the clock and by the processors' time of all its processes,
which tells more on a busy machine. Nothing that reads every statement of a project with libcst can be faster than the
peer: `extract` reads so only what it changes. Fails where a goal is missed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import large, table
from tests.benchmarks.table import Figure, Goal
from tests.checks import ROOT, environment

APPS = 115
SHOP_SECONDS = 10.0
LARGE_SECONDS = 60.0
LARGE_MIB = 600.0
PEER = "libcst reads all files once"
READ = """
import sys, pathlib, libcst
for file in sorted(pathlib.Path(sys.argv[1]).rglob("*.py")):
    libcst.parse_module(file.read_bytes())
"""


@dataclass(frozen=True)
class Used:
    """What a command has used: seconds on the clock and of processors, and the memory of its largest process."""

    seconds: float
    processor: float
    mib: float


def main(apps: int = APPS) -> int:
    """Prints the table; whether the goals were reached is its exit code."""
    found = list(figures(apps))
    print(table.text(found))
    return 1 if any(figure.missed() for figure in found) else 0


def figures(apps: int = APPS) -> Iterator[Figure]:
    """Of the shop and of a large project."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as made:
        folder = Path(made)
        yield from _figures("products of the shop", *of_shop(folder), SHOP_SECONDS)
        lines, ours, peer = of_large(folder, apps)
        name = f"one app of {lines:,} lines"
        yield from _figures(name, ours, peer, LARGE_SECONDS)
        yield Figure(f"{name}, memory", "MiB", ours.mib, {PEER: peer.mib}, (Goal(LARGE_MIB),))


def of_shop(folder: Path) -> tuple[Used, Used]:
    """What `extract` uses for the shop's products, and the peer for all of the monolith."""
    text = (ROOT / "strangler.toml").read_text()
    (folder / "shop").mkdir()
    (folder / "shop/strangler.toml").write_text(
        text.replace('directory = "monolith"', f'directory = "{ROOT}/monolith"')
    )
    ours = used(extract("products"), folder / "shop", environment())
    return ours, used(read(ROOT / "monolith"), folder, os.environ)


def of_large(folder: Path, apps: int) -> tuple[int, Used, Used]:
    """The same of one app of a generated project; its lines come first."""
    place = folder / "large"
    place.mkdir()
    lines = large.write(place, apps, sys.executable)
    return lines, used(extract("app0"), place, environment()), used(read(place / "project"), folder, os.environ)


def extract(name: str) -> list[str]:
    """The command, which writes into the folder `services`."""
    words = ["extract", name, "--to", f"services/{name}", "--relations", "numbers", "--json"]
    return [sys.executable, "-m", "strangler.cli.main", *words]


def read(folder: Path) -> list[str]:
    """The peer."""
    return [sys.executable, "-c", READ, str(folder)]


def used(command: list[str], folder: Path, known: Mapping[str, str]) -> Used:
    """Runs it to its end.

    Raises:
        RuntimeError: it has failed.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command, cwd=folder, env=known, stdout=told, stderr=told)
        _, status, resources = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            told.seek(0)
            raise RuntimeError(f"{' '.join(command[:5])} has failed:\n{told.read()[-2000:]}")
    return Used(time.monotonic() - began, resources.ru_utime + resources.ru_stime, resources.ru_maxrss / 1024)


def _figures(name: str, ours: Used, peer: Used, goal: float) -> Iterator[Figure]:
    yield Figure(f"extract {name}", "s", ours.seconds, {PEER: peer.seconds}, (Goal(goal),))
    yield Figure(f"extract {name}, processor time", "s", ours.processor, {PEER: peer.processor})


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
