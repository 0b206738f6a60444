"""Brings the local stack up, part after part, and keeps it up."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from strangler.adapters import envoy
from strangler.adapters.telemetry.environment import SERVICE
from strangler.domain.errors import StackError
from strangler.domain.project import Process, Project
from strangler.domain.words import counted
from strangler.stack import (
    broker,
    fitness,
    gateway,
    identity,
    observation,
    ports,
    retirement,
    secrets,
    state,
    teardown,
)
from strangler.stack.environments import programs, trace_key
from strangler.stack.postgres import Server
from strangler.stack.processes import AGENT, Programs, metrics_port
from strangler.stack.program import Program
from strangler.stack.progress import Progress
from strangler.stack.state import State
from strangler.stack.supervisor import Supervisor

Emit = Callable[[str], None]

DATA = ("journey", "sample", "none")
STOP_SECONDS = 120
DATABASE_SECONDS, BROKER_SECONDS, PROCESS_SECONDS, GATEWAY_SECONDS = 60, 60, 60, 20
MIGRATE_SECONDS, LOAD_SECONDS = 600, 1800


def run(
    project: Project,
    data: str | None,
    progress: Progress,
    on_ready: Callable[[State], None],
    *,
    prometheus: Path | None = None,
) -> None:
    """Starts everything, calls ``on_ready``, and returns when a stop signal has been obeyed.

    ``prometheus`` is the program that is to watch all of it, if any is.
    ``data`` says with what to fill the databases, unless they have been filled before. If something fails
    on the way or later, nothing is left running.
    """
    fitness.require_startable(project, retirement.retired(project.state))
    state.keep_private(project)
    with only_one(project):
        leavings = identity.remnants(project.state)
        if leavings:
            progress.line(
                f"stopping {counted(len(leavings), 'process', 'processes')} of a stack whose supervisor was killed"
            )
            clear(project, progress.line)
        present = _new_state()
        state.write(project, present)
        supervisor = Supervisor(present, project.state, partial(state.write, project))
        try:
            _Startup(project, supervisor, present, progress, prometheus).bring_up(data)
            present.phase = state.READY
            state.write(project, present)
            on_ready(present)
            supervisor.watch()
        finally:
            present.phase = state.STOPPING
            # On a full disk the processes are stopped all the same.
            with suppress(OSError):
                state.write(project, present)
            supervisor.stop(progress.line)
            state.state_file(project).unlink(missing_ok=True)


def require_data(project: Project, wanted: str | None) -> str | None:
    """What the databases were filled with; None if they have not been filled.

    Raises:
        StackError: that is something else than what is wanted.
    """
    memory = _memory(project)
    loaded: str | None = json.loads(memory.read_text())["data"] if memory.exists() else None
    if loaded and wanted not in (None, "none", loaded):
        raise StackError(
            f"the databases hold the {loaded} data already",
            place=str(memory),
            remedy="run `strangler down --wipe` first, which removes them",
        )
    return loaded


def _memory(project: Project) -> Path:
    return project.state / "data.json"


def stop_supervisor(project: Project, report: Emit) -> None:
    """Asks the supervisor to stop everything and itself, and waits for it."""
    last = _last_state(project)
    if last is None or not identity.is_alive(last.supervisor):
        return
    report("stopping the stack")
    identity.send(last.supervisor, signal.SIGTERM)
    if identity.await_end([last.supervisor], STOP_SECONDS):
        report(f"the supervisor did not end within {STOP_SECONDS} s and is killed")
        identity.kill([last.supervisor])


def clear(project: Project, report: Emit) -> None:
    """Stops what is left of a stack that has no supervisor any more."""
    last = _last_state(project)
    teardown.stop(last.processes if last else {}, project.state, report)
    state.state_file(project).unlink(missing_ok=True)


@contextmanager
def only_one(project: Project) -> Iterator[None]:
    """Holds the stack's lock, which the kernel releases whenever the holder ends."""
    project.state.mkdir(parents=True, exist_ok=True)
    with (project.state / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                "the stack is being started or stopped, or is up",
                place=str(project.state),
                remedy="see `strangler env`, or run `strangler down`",
            ) from error
        yield


def _last_state(project: Project) -> State | None:
    try:
        return state.read(project)
    except StackError:
        return None  # unreadable: the processes that it named still have the mark


def _new_state() -> State:
    me = identity.identify(os.getpid())
    assert me is not None
    return State(supervisor=me)


class _Startup:
    """The parts in their order; each notes in the state what the next ones need."""

    def __init__(
        self,
        project: Project,
        supervisor: Supervisor,
        present: State,
        progress: Progress,
        prometheus: Path | None,
    ) -> None:
        self._project = project
        self._supervisor = supervisor
        self._state = present
        self._progress = progress
        self._prometheus = prometheus
        self._ports = _assign_ports(project, observed=prometheus is not None)
        self._awaited: list[Program] = []

    def bring_up(self, data: str | None) -> None:
        self._databases()
        self._broker()
        programs = self._programs()
        self._state.addresses = {
            name: programs.address(process)
            for name, process in self._project.processes.items()
            if process.http or process.address
        }
        self._state.metrics = f"http://{ports.LOOPBACK}:{self._ports[AGENT]}/metrics"
        retired = retirement.retired(self._project.state)
        ours = [each for each in self._project.processes.values() if each.command and each.name not in retired]
        self._migrate(programs, ours)
        self._load(programs, data)
        self._processes(programs, ours)
        self._gateway()
        self._start(programs.agent(), PROCESS_SECONDS)
        self._observe()

    def _databases(self) -> None:
        password = secrets.text(self._project.state / "secrets", "postgres")
        servers = [
            Server(
                name, self._project.state, self._ports[f"postgres-{name}"], password, programs=self._project.postgres
            )
            for name, database in self._project.databases.items()
            if database.embedded
        ]
        self._state.databases = {
            **{name: each.url for name, each in self._project.databases.items() if each.url},
            **{server.name: server.dsn for server in servers},
        }
        applications = {name: each.app_url for name, each in self._project.databases.items() if each.app_url}
        for server in servers:
            program = server.program()
            with self._progress.step(f"PostgreSQL for {server.name}"):
                server.create()
                self._supervisor.start(program)
                self._supervisor.await_ready(program, DATABASE_SECONDS)
                server.create_database()
                role = secrets.text(self._project.state / "secrets", "application-role")
                applications[server.name] = server.give_to_application(role)
        self._state.applications = applications

    def _broker(self) -> None:
        """Starts the broker; only the processes need it, and its start may take seconds."""
        if not self._project.brokered:
            return
        if self._project.broker_url:
            self._state.broker = self._project.broker_url
            return
        password = secrets.text(self._project.state / "secrets", "broker")
        chosen = broker.choose(self._project.state, self._ports, password)
        if chosen.shortcoming:
            self._progress.line(chosen.shortcoming)
        self._progress.line(f"broker ({chosen.kind}) …")
        *before, node = chosen.programs()
        for program in before:
            self._start(program, BROKER_SECONDS)
        self._supervisor.start(node)
        self._awaited.append(node)
        self._state.broker = chosen.url

    def _await_broker(self) -> None:
        for program in self._awaited:
            self._supervisor.await_ready(program, BROKER_SECONDS)
            self._progress.line("broker: ready")

    def _programs(self) -> Programs:
        return programs(self._project, self._state, self._ports)

    def _migrate(self, programs: Programs, processes: list[Process]) -> None:
        for process in processes:
            if process.migrate:
                with self._progress.step(f"migrations of {process.name}"):
                    self._supervisor.run(programs.migrating(process), MIGRATE_SECONDS)

    def _load(self, programs: Programs, data: str | None) -> None:
        loaded = require_data(self._project, data)
        wanted = data or "journey"
        if loaded or wanted == "none" or self._project.loader is None:
            return
        with self._progress.step(f"{wanted} data"):
            program = programs.loading(sample=wanted == "sample")
            self._supervisor.run(program, LOAD_SECONDS, echo=self._progress.line)
        state.write_private(_memory(self._project), json.dumps({"data": wanted, "at": time.time()}))

    def _processes(self, programs: Programs, processes: list[Process]) -> None:
        self._await_broker()
        started = [programs.serving(process) for process in processes]
        if not started:
            return
        with self._progress.step(", ".join(program.name for program in started)):
            for program in started:
                self._supervisor.start(program)
            for program in started:
                self._supervisor.await_ready(program, PROCESS_SECONDS)

    def _gateway(self) -> None:
        if self._project.gateway.address:
            return
        chosen = gateway.Gateway(
            self._project, self._ports["gateway"], self._ports["gateway-admin"], self._ports.get(gateway.INTERNAL)
        )
        self._state.gateway, self._state.envoy_admin = chosen.url, chosen.admin_url
        self._state.internal = chosen.internal_url
        with self._progress.step(f"gateway at {chosen.url}"):
            traces = envoy.asked_for(
                {**os.environ, SERVICE: envoy.SERVICE, **trace_key(self._project)}, self._progress.line
            )
            chosen.configure(self._state.addresses, traces)
            self._start(chosen.program(), GATEWAY_SECONDS)

    def _observe(self) -> None:
        if self._prometheus is None:
            return
        port = self._ports[observation.NAME]
        self._state.prometheus = f"http://{ports.LOOPBACK}:{port}"
        with self._progress.step(f"Prometheus at {self._state.prometheus}"):
            targets = observation.jobs(self._project, self._state, self._ports)
            self._start(observation.program(self._project, self._prometheus, targets, port), GATEWAY_SECONDS)

    def _start(self, program: Program, seconds: float) -> None:
        self._supervisor.start(program)
        self._supervisor.await_ready(program, seconds)


def _assign_ports(project: Project, *, observed: bool) -> dict[str, int]:
    names = [
        *(f"postgres-{name}" for name, each in project.databases.items() if each.embedded),
        *broker.PORTS,
        *(name for name, each in project.processes.items() if each.http and each.command),
        "gateway",
        "gateway-admin",
        *([gateway.INTERNAL] if project.gateway.internal else []),
        AGENT,
        *((observation.NAME, *map(metrics_port, observation.background(project))) if observed else ()),
    ]
    wanted = {
        "gateway": project.gateway.port,
        "gateway-admin": project.gateway.admin_port,
        gateway.INTERNAL: project.gateway.internal_port,
    }
    return ports.assign(names, wanted, project.state / "ports.json")
