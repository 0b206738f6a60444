"""How long writes pause: many switches there and back of each capability, under the rehearsal's traffic.

    python -m tests.benchmarks.pauses [SWITCHES] [CAPABILITY…]

Each capability has a rehearsal of its own, on a stack that the rehearsal starts and takes down again. Beside each pause
stands its floor: one lock of the tables, one marker's journey and two synchronous commits, measured right afterwards
under the same traffic. Beside the longest time in which no writer had a write acknowledged, from the shut door until
each writer is through, stands the longest such time without a switch, in windows of the same length. Figures depend on
what else runs on the machine: the traffic alone keeps both cores busy.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import table
from tests.benchmarks.table import Figure, Goal
from tests.contract.sides import CAPABILITIES
from tests.stack import ROOT

SWITCHES = 20
FLOOR, QUIET = "floor", "without a switch"
LONGEST_MS = 250.0


@dataclass(frozen=True)
class Pauses:
    """The changes of owner of one rehearsal, as its report has them; ``steps`` has the milliseconds of each step."""

    capability: str
    moves: Sequence[Mapping[str, Any]]
    steps: Mapping[str, Sequence[float]]

    def of(self, field: str) -> list[float]:
        """A figure of every change of owner that has it."""
        return [float(move[field]) for move in self.moves if move[field] is not None]


def main(switches: int, capabilities: Sequence[str]) -> int:
    """Prints the table, after what `measure` prints."""
    found: list[Figure] = []
    for capability in capabilities:
        found += summed_up(measure(capability, switches))
    print(table.text(found))
    return 0


def figures(switches: int = SWITCHES) -> Iterator[Figure]:
    """For each capability."""
    for capability in CAPABILITIES:
        yield from summed_up(measure(capability, switches))


def measure(capability: str, switches: int) -> Pauses:
    """Runs a rehearsal with a script of its own, and prints each change of owner and where its time went.

    Raises:
        SystemExit: it came to no good end, and has said why.
    """
    order = list(CAPABILITIES)  # what others refer to goes first
    first = order[: order.index(capability)]
    lines = [f"{verb} {each}" for each in first for verb in ("start", "verify", "switch")]
    lines += [f"start {capability}", f"verify {capability}"]
    lines += [f"{'reverse' if number % 2 else 'switch'} {capability}" for number in range(switches)]
    with tempfile.TemporaryDirectory() as folder:
        script, report = Path(folder) / "script.txt", Path(folder) / "report.json"
        script.write_text("\n".join(lines))
        command = [sys.executable, "-m", "strangler.cli.main", "rehearse", "--data", "sample", "--writes", "0"]
        command += ["--requests", "0", "--script", str(script), "--report", str(report)]
        subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        found = json.loads(report.read_text()) if report.exists() else {}
        moves = [move for move in found.get("moves", ()) if move["capability"] == capability]
        log = (Path(folder) / "rehearsal.log").read_text() if found else ""
        pauses = Pauses(capability, moves, _steps(log, capability))
        _tell(pauses)
        # That a pause was over before any request met the fence is no fault here.
        if len(moves) < switches or any(found[field] for field in ("failed", "lost", "doubled")):
            sys.exit(f"the rehearsal of {capability} has not been played to a good end: see above")
    return pauses


def summed_up(pauses: Pauses) -> Iterator[Figure]:
    """The figures of one capability."""
    name, count = pauses.capability, f"{len(pauses.moves)} changes of owner"
    tries, paused, floors = (pauses.of(field) for field in ("tries", "pause_ms", "floor_ms"))
    gaps, quiet = pauses.of("client_pause_ms"), pauses.of("quiet_gap_ms")
    yield Figure(f"{name}: tries to fence that failed", "", sum(tries) - len(tries), goals=(Goal(0),), note=count)
    yield Figure(
        f"{name}: pause, median", "ms", statistics.median(paused), {FLOOR: statistics.median(floors)}, (Goal(2, FLOOR),)
    )
    yield Figure(f"{name}: pause, worst", "ms", max(paused), {FLOOR: max(floors)}, (Goal(LONGEST_MS),))
    for word, of, most in (("p95", _p95, 1.5), ("worst", max, 2.5)):
        yield Figure(
            f"{name}: longest gap of the writers, {word}", "ms", of(gaps), {QUIET: of(quiet)}, (Goal(most, QUIET),)
        )


def _p95(values: Iterable[float]) -> float:
    ranked = sorted(values)
    return ranked[math.ceil(0.95 * len(ranked)) - 1]


def _steps(log: str, capability: str) -> Mapping[str, Sequence[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for line in log.splitlines():
        if line.startswith("{") and '"pause_ms"' in line:
            answer = json.loads(line)
            if answer["capability"] == capability:
                for step in answer["steps"]:
                    found[step["step"]].append(step["ms"])
    return found


def _tell(pauses: Pauses) -> None:
    for move in pauses.moves:
        print(
            f"{move['verb']:<8}{pauses.capability} pause {move['pause_ms']:7.1f} ms in {move['tries']} tries, "
            f"floor {move['floor_ms'] or 0:6.1f} ms   longest gap of the writers {move['client_pause_ms']:7.1f} ms, "
            f"without a switch {move['quiet_gap_ms']:7.1f} ms   {move['bounced']} bounced"
        )
    for step, times in pauses.steps.items():
        print(f"  {step:<18} median {statistics.median(times):7.2f} ms   worst {max(times):7.2f} ms")


if __name__ == "__main__":
    words = sys.argv[1:]
    numbers = [int(word) for word in words if word.isdigit()]
    sys.exit(main((numbers or [SWITCHES])[0], [word for word in words if not word.isdigit()] or list(CAPABILITIES)))
