"""How long writes pause: many switches there and back under the rehearsal's traffic.

    python -m tests.benchmarks.pauses [SWITCHES] [CAPABILITY]

Prints one line per change of owner and, at the end, the median, the worst, and where the time went. It needs no stack
that is up; it takes the stack that it starts down again. Figures depend on what else runs on the machine: the traffic
alone keeps both cores busy.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from tests.contract.sides import CAPABILITIES

ROOT = Path(__file__).resolve().parents[2]


def main(switches: int = 20, capability: str = "users") -> int:
    """Runs the rehearsal with a script of its own; its exit code is passed on."""
    order = list(CAPABILITIES)  # what others refer to goes first
    first = order[: order.index(capability)]
    lines = [f"{verb} {each}" for each in first for verb in ("start", "verify", "switch")]
    lines += [f"start {capability}", f"verify {capability}"]
    for number in range(switches):
        lines += [f"{'reverse' if number % 2 else 'switch'} {capability}", "traffic 200"]
    with tempfile.TemporaryDirectory() as folder:
        script, report = Path(folder) / "script.txt", Path(folder) / "report.json"
        script.write_text("\n".join(lines))
        command = [sys.executable, "-m", "strangler.cli.main", "rehearse", "--data", "sample"]
        command += ["--script", str(script), "--report", str(report)]
        code = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode
        if report.exists():
            _tell(json.loads(report.read_text()), (Path(folder) / "rehearsal.log").read_text())
    return code


def _tell(report: dict[str, object], log: str) -> None:
    moves = report["moves"]
    assert isinstance(moves, list)
    for move in moves:
        print(
            f"{move['verb']:<8} pause {move['pause_ms']:7.1f} ms in {move['tries']} tries   longest gap between "
            f"acknowledged writes {move['client_pause_ms']:7.1f} ms, without a switch {move['quiet_gap_ms']:7.1f} ms   "
            f"{move['bounced']} requests met the fence"
        )
    pauses = [move["pause_ms"] for move in moves]
    gaps = [move["client_pause_ms"] for move in moves]
    quiet = [move["quiet_gap_ms"] for move in moves]
    print(f"{platform.machine()}, {os.cpu_count()} cores, PostgreSQL and traffic on the same machine")
    print(f"pause:  median {statistics.median(pauses):.1f} ms, worst {max(pauses):.1f} ms, n = {len(pauses)}")
    print(f"client: median {statistics.median(gaps):.1f} ms, worst {max(gaps):.1f} ms")
    print(f"without a switch: median {statistics.median(quiet):.1f} ms, worst {max(quiet):.1f} ms")
    steps: dict[str, list[float]] = defaultdict(list)
    for line in log.splitlines():
        if line.startswith('{"capability"') and '"pause_ms"' in line:
            for step in json.loads(line)["steps"]:
                steps[step["step"]].append(step["ms"])
    for step, times in steps.items():
        print(f"  {step:<18} median {statistics.median(times):7.2f} ms   worst {max(times):7.2f} ms")
    print(", ".join(f"{key} {report[key]}" for key in ("requests", "failed", "acknowledged_writes", "lost", "doubled")))


if __name__ == "__main__":
    sys.exit(main(*(int(word) if word.isdigit() else word for word in sys.argv[1:])))
