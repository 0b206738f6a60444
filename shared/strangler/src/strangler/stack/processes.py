"""The project's own programs, with the environment that every stack, local or not, gives them."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import urllib3

from strangler.adapters.telemetry import environment as telemetry
from strangler.domain.faults import VARIABLE
from strangler.domain.project import Process, Project
from strangler.stack.ports import LOOPBACK
from strangler.stack.program import Program, Tier

AGENT = "serve"
TOOL = "strangler"
GRACE_SECONDS = 40
PAUSES = (0.5, 1.0)

_HTTP = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=2))


def unset(project: Project, process: Process) -> frozenset[str]:
    """What a process does not get of the shell: by which settings the monolith runs, which a service has its own of."""
    monolith = project.processes.get(project.monolith)
    is_same = monolith is None or process.directory == monolith.directory
    return frozenset() if is_same else frozenset({"DJANGO_SETTINGS_MODULE"})


class Programs:
    """Builds the supervisor's programs from ``strangler.toml``.

    ``ports`` has the ports of web processes and agent, ``dsns`` the address of every database for applications.
    ``shared`` has the environment variables that all processes get. ``secrets`` has, by database, the variables that
    its processes get, by its own name those of a web process without a database, and under the empty name those of all
    other processes.
    """

    def __init__(
        self,
        project: Project,
        *,
        ports: Mapping[str, int],
        dsns: Mapping[str, str],
        shared: Mapping[str, str],
        secrets: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._project = project
        self._ports = ports
        self._dsns = dsns
        self._shared = shared
        self._secrets = secrets

    def serving(self, process: Process) -> Program:
        """The process itself, web or worker."""
        metrics = self._metrics_folder(process)
        once = self._once(process, process.name, process.command)
        program = replace(
            once,
            environment={**self._answering(process), **once.environment},
            prepare=lambda: _empty(metrics),
            stop_seconds=GRACE_SECONDS,
        )
        if not process.http:
            return program
        return replace(program, ready=lambda: is_healthy(self.address(process), process.health))

    def migrating(self, process: Process) -> Program:
        return self._once(process, f"{process.name}-migrate", process.migrate)

    def loading(self, *, sample: bool) -> Program:
        loader = self._project.loader
        assert loader is not None
        process = self._project.processes[loader.process]
        return self._once(process, "loader", [*loader.command, *(loader.sample if sample else ())])

    def agent(self) -> Program:
        """``strangler serve``: gateway agent, recovery and metrics."""
        unseen = self._project.gateway.address and not self._project.gateway.admin
        return Program(
            name=AGENT,
            command=[sys.executable, "-m", "strangler.cli.main", "serve", *(["--no-agent"] if unseen else [])],
            directory=self._project.path.parent,
            log=self._log(AGENT),
            environment={
                "STRANGLER_CONFIG": str(self._project.path),
                "STRANGLER_STATE": str(self._project.state),
                "METRICS_PORT": str(self._ports[AGENT]),
                "PYTHONUNBUFFERED": "1",
                **_own_name(TOOL),
            },
            tier=Tier.AGENT,
        )

    def address(self, process: Process) -> str:
        return process.address or f"http://{LOOPBACK}:{self._ports[process.name]}"

    def _once(self, process: Process, name: str, command: Sequence[str]) -> Program:
        assert process.directory is not None
        metrics = self._metrics_folder(process)
        metrics.mkdir(parents=True, exist_ok=True)
        return Program(
            name=name,
            command=command,
            directory=process.directory,
            log=self._log(name),
            environment={"PROMETHEUS_MULTIPROC_DIR": str(metrics), **self.environment(process)},
            unset=unset(self._project, process),
        )

    def environment(self, process: Process) -> dict[str, str]:
        """What the process gets beside the environment of who starts it, but for the folder of its samples."""
        environment = {
            **self._shared,
            "PYTHONUNBUFFERED": "1",
            "PATH": search_path(process),
            **_own_name(process.name),
        }
        own = process.database or (process.name if process.name in self._secrets else "")
        environment |= self._secrets.get(own, {})
        if process.database:
            environment["DATABASE_URL"] = self._dsns[process.database]
        if process.database and self._project.databases[process.database].embedded:
            environment[VARIABLE] = "1"
        if process.http:
            environment["PORT"] = str(self._ports[process.name])
        return {**self._addresses(), **environment, **process.environment}

    def _addresses(self) -> dict[str, str]:
        """Where each process answers that the file names a variable for."""
        found = [one for one in self._project.processes.values() if one.address or one.name in self._ports]
        return {one.address_variable: self.address(one) for one in found if one.address_variable}

    def _answering(self, process: Process) -> dict[str, str]:
        """Where a process without a port of its own answers for its metrics, if it is to do so."""
        port = self._ports.get(metrics_port(process.name))
        return {} if port is None else {"METRICS_PORT": str(port)}

    def _metrics_folder(self, process: Process) -> Path:
        return self._project.state / "run" / process.name / "metrics"

    def _log(self, name: str) -> Path:
        return self._project.state / "log" / f"{name}.log"


def _own_name(service: str) -> dict[str, str]:
    """Under which name a process sends spans, where the environment of the stack asks for them."""
    return {telemetry.SERVICE: service} if telemetry.asked(os.environ) else {}


def metrics_port(process: str) -> str:
    """The name of the port at which the process answers for its metrics, and for nothing else; no process can have
    such a name."""
    return f"{process}/metrics"


def search_path(process: Process) -> str:
    """Where its programs are found: first in its environment, or else in the tool's own, activated or not.

    A process with an environment of its own gets nothing from the tool's: a program that it lacks is to be missed.
    """
    own = Path(sys.executable).parent
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if process.python is None:
        return os.pathsep.join([str(own), *folders])
    return os.pathsep.join([str(process.python.parent), *(each for each in folders if Path(each) != own)])


def is_healthy(address: str, path: str) -> bool:
    try:
        return _HTTP.request("GET", address + path).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def answers(url: str) -> bool:
    """Whether a server is there, healthy or not. It is asked several times, for a server that is being started again is
    silent for a moment."""
    for pause in (*PAUSES, 0.0):
        try:
            _HTTP.request("GET", url)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            time.sleep(pause)
        except urllib3.exceptions.HTTPError:
            return True
        else:
            return True
    return False


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
