"""A server of the tests' own, which they may stop and start again."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence

from strangler.stack.program import Program, tail

START_SECONDS = 90.0


class ServerNode:
    """One or several programs; what they have been told is kept in their folder from one start to the next."""

    def __init__(self, programs: Sequence[Program], url: str) -> None:
        self._programs = programs
        self._running: list[subprocess.Popen[bytes]] = []
        self.url = url

    def start(self) -> None:
        """Returns when it takes connections; again is no error."""
        if not self._running:
            for program in self._programs:
                self._run(program)

    def stop(self) -> None:
        """As an operator stops it; again is no error."""
        while self._running:
            program, process = self._programs[len(self._running) - 1], self._running.pop()
            process.send_signal(program.stop_signal)
            process.wait(program.stop_seconds + 30)

    def control(self, *command: str) -> None:
        """Of a RabbitMQ node: what `rabbitmqctl` does there."""
        node = self._programs[-1]
        subprocess.run(
            ["/usr/lib/rabbitmq/bin/rabbitmqctl", "--quiet", *command],
            env=dict(node.environment) | _path(),
            check=True,
            capture_output=True,
            timeout=120,
        )

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
