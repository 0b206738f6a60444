"""A private RabbitMQ node for the tests, which they may stop and start again."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from strangler.adapters.stack import ports
from strangler.adapters.stack.broker import PORTS, RabbitMQ, choose
from strangler.adapters.stack.program import Program, tail

START_SECONDS = 90.0
PASSWORD = "only-for-tests"


class BrokerNode:
    """What it has been told is kept in its folder from one start to the next."""

    def __init__(self, broker: RabbitMQ) -> None:
        self._mapper, self._node = broker.programs()
        self._running: list[subprocess.Popen[bytes]] = []
        self.url = broker.url

    def start(self) -> None:
        """Returns when it takes connections; again is no error."""
        if not self._running:
            self._run(self._mapper)
            self._run(self._node)

    def stop(self) -> None:
        """As an operator stops it; again is no error."""
        for program, process in zip((self._node, self._mapper), reversed(self._running), strict=False):
            process.send_signal(program.stop_signal)
            process.wait(program.stop_seconds + 30)
        self._running.clear()

    def _run(self, program: Program) -> None:
        program.log.parent.mkdir(parents=True, exist_ok=True)
        program.prepare()
        with program.log.open("ab") as log:
            process = subprocess.Popen(
                program.command, cwd=program.directory, env=dict(program.environment) | _path(), stdout=log, stderr=log
            )
        self._running.append(process)
        deadline = time.monotonic() + START_SECONDS
        while not program.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{program.name} does not start:\n{tail(program.log)}")
            time.sleep(0.05)


def _path() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "") + ":/usr/sbin", "LANG": "C.UTF-8"}


def node(folder: Path) -> BrokerNode | None:
    """A node that has not been started; None where RabbitMQ is not installed."""
    assigned = ports.assign(PORTS, {}, folder / "ports.json")
    broker = choose(folder, assigned, PASSWORD)
    return BrokerNode(broker) if isinstance(broker, RabbitMQ) else None
