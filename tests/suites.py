"""Runs the suites, each in a process of its own as several projects hold packages of the same name, and sums them up.

    python -m tests.suites                 all that `make test` runs
    python -m tests.suites faults          what is killed at each boundary, once
    python -m tests.suites soak            the same in every combination, and long lists of cases to their end
    python -m tests.suites compose         the shop in containers; skipped where no Docker engine answers
    python -m tests.suites browser         people in a real Chromium; skipped where there is none
    python -m tests.suites monolith -k x   one suite, with arguments for pytest

Several suites are run two at a time, for much of what they do is to wait for servers; each is then printed when it
has ended. A Django project's suite gets an embedded PostgreSQL of its own for as long as it runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from strangler.stack import ports, secrets
from strangler.stack.postgres import Server

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Suite:
    """A folder whose pytest is run; ``database`` where it wants a PostgreSQL by DATABASE_URL."""

    folder: str
    arguments: Sequence[str] = ()
    database: bool = False


SUITES: Mapping[str, Suite] = {
    "chassis": Suite("shared/chassis", ("-m", "not soak"), database=True),
    "chassis-long": Suite("shared/chassis", ("-m", "soak"), database=True),
    "monolith": Suite("monolith", database=True),
    "users": Suite("services/users", database=True),
    "products": Suite("services/products", database=True),
    "orders": Suite("services/orders", database=True),
    "storefront": Suite("services/storefront"),
    "strangler": Suite("shared/strangler", ("tests", "--ignore=tests/protocol", "-m", "not soak")),
    "strangler-long": Suite("shared/strangler", ("tests", "--ignore=tests/protocol", "-m", "soak")),
    "protocol": Suite("shared/strangler", ("tests/protocol", "-m", "not soak")),
    "exhaustive": Suite("shared/strangler", ("tests/protocol", "-m", "soak")),
    "contract": Suite(".", ("tests/contract",)),
    "extracted": Suite(".", ("tests/contract", "--extracted")),
    "manifests": Suite(".", ("tests/manifests",)),
    "copies": Suite(".", ("tests/copies", "tests/benchmarks", "tests/scenario", "tests/pipeline", "-m", "not soak")),
    "drafted": Suite(".", ("tests/scenario", "-m", "soak")),
    "elsewhere": Suite(".", ("tests/elsewhere", "-m", "not soak")),
    "elsewhere-long": Suite(".", ("tests/elsewhere", "-m", "soak")),
    "observability": Suite(".", ("tests/observability",)),
    "versions": Suite(".", ("tests/versions",), database=True),
    "fuzz": Suite(".", ("tests/fuzz", "-m", "not soak")),
    "fuzz-long": Suite(".", ("tests/fuzz", "-m", "soak")),
    "faults": Suite(".", ("tests/faults", "-m", "not soak")),
    "soak": Suite(".", ("tests/faults",)),
    "compose": Suite(".", ("tests/compose",)),
    "browser": Suite(".", ("tests/browser",)),
}
# The suites that take longest come first, so that both lanes end at about the same time.
EVERYDAY = (
    "protocol", "chassis", "strangler", "contract", "copies", "observability", "fuzz", "elsewhere", "versions",
    "monolith", "manifests", "orders", "products", "users", "storefront",
)  # fmt: skip
SOAK = ("soak", "exhaustive", "chassis-long", "strangler-long", "extracted", "drafted", "elsewhere-long", "fuzz-long")
LANES = 2
# So that each run says where its time goes.
SLOWEST_FILES = 12
SLOWEST = ("--durations=15", "--durations-min=5")
OUTCOMES = ("passed", "failed", "skipped")
# No test kills this server, so nothing needs to outlive it.
FORGETFUL = {"fsync": "off", "full_page_writes": "off"}


@contextmanager
def postgres() -> Iterator[Mapping[str, str]]:
    """An embedded server, and the environment that a Django project's tests need."""
    with tempfile.TemporaryDirectory(prefix="suites-") as folder:
        state = Path(folder)
        state.chmod(0o755)  # the server may run as another user than the tests
        port = ports.assign(["tests"], {}, state / "ports.json")["tests"]
        server = Server("tests", state, port, secrets.text(state / "secrets", "postgres"))
        server.create()
        with (state / "postgres" / "tests" / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{key} = '{value}'\n" for key, value in FORGETFUL.items())
        program = server.program()
        with (state / "postgres.log").open("wb") as log:
            process = subprocess.Popen(program.command, cwd=program.directory, stdout=log, stderr=log)
        try:
            _await(program.ready, process, state / "postgres.log")
            server.create_database()
            kinds = {"SECRET_KEY": "text", "TOKEN_KEY_FILE": "ed25519"}
            yield {
                "DATABASE_URL": server.dsn,
                "BROKER_URL": "memory://",
                "PASSWORD_ITERATIONS": "1",
                **secrets.environment(kinds, state / "secrets"),
            }
        finally:
            process.send_signal(program.stop_signal)
            process.wait(program.stop_seconds)


def _await(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"PostgreSQL does not start:\n{log.read_text()}")
        time.sleep(0.05)


@dataclass(frozen=True)
class Outcome:
    """How a suite ended: how many tests passed, failed and were skipped, and what it said where that was kept."""

    name: str
    counts: Counter[str]
    seconds: float
    output: str = ""
    files: str = ""

    def __str__(self) -> str:
        told = ", ".join(f"{self.counts[outcome]} {outcome}" for outcome in OUTCOMES)
        return f"seconds by file: {self.files}\n--- {self.name}: {told} in {self.seconds:.0f} s"


def run(name: str, extra: Sequence[str], *, keep: bool) -> Outcome:
    """One suite's pytest, which prints its output at once, or at the end with ``keep``."""
    suite, began = SUITES[name], time.monotonic()
    with tempfile.TemporaryDirectory() as folder, _database(suite) as environment:
        report, said = Path(folder) / "report.xml", Path(folder) / "output"
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", *SLOWEST, *suite.arguments, *extra]
        with said.open("wb") as output:
            code = subprocess.run(
                command,
                cwd=ROOT / suite.folder,
                env={**os.environ, **environment},
                stdout=output if keep else None,
                stderr=output if keep else None,
                check=False,
            ).returncode
        seconds, output = time.monotonic() - began, said.read_text(errors="replace")
        return Outcome(name, _counts(report, code), seconds, output, _slowest(report))


def _database(suite: Suite) -> AbstractContextManager[Mapping[str, str]]:
    return postgres() if suite.database else nullcontext({})


def run_all(names: Sequence[str], extra: Sequence[str]) -> Iterator[Outcome]:
    """Several suites, ``LANES`` at a time and in this order; each outcome as soon as it is there."""
    print(f"{', '.join(names)}: {LANES} at a time, each shown when it has ended", flush=True)
    with ThreadPoolExecutor(LANES) as lanes:
        running = [lanes.submit(run, name, extra, keep=True) for name in names]
        try:
            yield from (each.result() for each in as_completed(running))
        finally:
            lanes.shutdown(cancel_futures=True)


def _slowest(report: Path) -> str:
    """The files whose tests took longest, with their seconds."""
    seconds: Counter[str] = Counter()
    if report.exists():
        for case in ET.parse(report).getroot().iter("testcase"):
            name = case.get("classname", "")
            module = next((part for part in name.split(".") if part.startswith("test_")), name)
            seconds[module] += round(float(case.get("time", 0)))
    return ", ".join(f"{module} {taken}" for module, taken in seconds.most_common(SLOWEST_FILES))


def _counts(report: Path, code: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    if report.exists():
        for suite in ET.parse(report).getroot().iter("testsuite"):
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            counts["failed"] += failed
            counts["skipped"] += skipped
            counts["passed"] += int(suite.get("tests", 0)) - failed - skipped
    if code != 0 and not counts["failed"]:
        counts["failed"] = 1  # a suite that could not be collected, or ran nothing
    return counts


def main(arguments: Sequence[str]) -> int:
    """Runs the suite named, or those of every day; the last line sums them up."""
    total: Counter[str] = Counter()
    if arguments and arguments[0] in SUITES:
        # One after the other: faults want the machine for themselves.
        for name in SOAK if tuple(arguments) == ("soak",) else arguments[:1]:
            print(f"--- {name}", flush=True)
            total += run(name, arguments[1:], keep=False).counts
    else:
        for outcome in run_all(EVERYDAY, arguments):
            print(f"{outcome.output}{outcome}\n", flush=True)
            total += outcome.counts
    print(", ".join(f"{total[outcome]} {outcome}" for outcome in OUTCOMES))
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
