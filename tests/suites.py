"""Runs the suites one after another, for several projects hold packages of the same name, and sums them up.

    python -m tests.suites                 all that `make test` runs
    python -m tests.suites faults          what is killed at each boundary, once
    python -m tests.suites soak            the same in every combination
    python -m tests.suites monolith -k x   one suite, with arguments for pytest

The Django projects' suites get an embedded PostgreSQL of their own for as long as they run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from strangler.adapters.stack import ports, secrets
from strangler.adapters.stack.postgres import Server

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Suite:
    """A folder whose pytest is run; ``database`` where it wants a PostgreSQL by DATABASE_URL."""

    folder: str
    arguments: Sequence[str] = ()
    database: bool = False


SUITES: Mapping[str, Suite] = {
    "chassis": Suite("shared/chassis", database=True),
    "monolith": Suite("monolith", database=True),
    "users": Suite("services/users", database=True),
    "products": Suite("services/products", database=True),
    "orders": Suite("services/orders", database=True),
    "strangler": Suite("shared/strangler"),
    "contract": Suite(".", ("tests/contract",)),
    "faults": Suite(".", ("tests/faults", "-m", "not soak")),
    "soak": Suite(".", ("tests/faults",)),
}
EVERYDAY = ("chassis", "monolith", "users", "products", "orders", "strangler", "contract")


@contextmanager
def postgres() -> Iterator[Mapping[str, str]]:
    """An embedded server, and the environment that a Django project's tests need."""
    with tempfile.TemporaryDirectory(prefix="suites-") as folder:
        state = Path(folder)
        state.chmod(0o755)  # the server may run as another user than the one who runs the tests
        port = ports.assign(["tests"], {}, state / "ports.json")["tests"]
        server = Server("tests", state, port, secrets.text(state / "secrets", "postgres"))
        server.create()
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


def run(name: str, extra: Sequence[str], environment: Mapping[str, str]) -> dict[str, int]:
    """One suite's pytest; how many tests passed, failed and were skipped."""
    suite = SUITES[name]
    print(f"--- {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", *suite.arguments, *extra]
        code = subprocess.run(
            command, cwd=ROOT / suite.folder, env={**os.environ, **environment}, check=False
        ).returncode
        return _counts(report, code)


def _counts(report: Path, code: int) -> dict[str, int]:
    counts = {"passed": 0, "failed": 0, "skipped": 0}
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
    """Runs the suites named, or those of every day; the last line sums them up."""
    named = arguments[0] if arguments and arguments[0] in SUITES else None
    names, extra = ([named], arguments[1:]) if named else (EVERYDAY, arguments)
    total = {"passed": 0, "failed": 0, "skipped": 0}
    with ExitStack() as held:
        environment: Mapping[str, str] = {}
        if any(SUITES[name].database for name in names):
            environment = held.enter_context(postgres())
        for name in names:
            for outcome, count in run(name, extra, environment if SUITES[name].database else {}).items():
                total[outcome] += count
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
