"""Sets a rehearsal's stage: its processes, sessions and files, all of which end with it."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from strangler.adapters.postgres.schema.side import PostgresSide
from strangler.adapters.postgres.session.connection import connect
from strangler.domain.errors import ConfigurationError
from strangler.domain.move import SideRow
from strangler.domain.project import MONOLITH, SERVICE, Endpoints, Project
from strangler.rehearsal.adapters.bounces import EnvoyBounces
from strangler.rehearsal.adapters.crew import Assignment, load_scenario
from strangler.rehearsal.adapters.crews import Crews
from strangler.rehearsal.adapters.floors import PostgresFloors
from strangler.rehearsal.adapters.rows import PostgresRows
from strangler.rehearsal.adapters.verbs import CommandLine
from strangler.rehearsal.ports import Damage, Sides
from strangler.rehearsal.rehearsal import Stage

BROKERS = {"amqp": "rabbitmq", "amqps": "rabbitmq", "redis": "valkey", "rediss": "valkey"}


@dataclass(frozen=True, slots=True)
class Size:
    """How many clients and writers there are, in how many processes, and their mean think time."""

    clients: int
    writers: int
    processes: int
    think: float


@contextmanager
def staged(project: Project, endpoints: Endpoints, size: Size, *, folder: Path) -> Iterator[Stage]:
    """The stage with its traffic already running; journals and the log of all verbs go to ``folder``.

    Raises:
        ConfigurationError: when the scenario cannot be imported.
    """
    assignments = _assignments(project, endpoints.gateway, size, folder)
    with ExitStack() as held:
        log = held.enter_context((folder / "rehearsal.log").open("wb"))
        traffic = held.enter_context(Crews(assignments, errors=log))
        yield Stage(
            capabilities=list(project.capabilities),
            traffic=traffic,
            journals=[Path(assignment.journal) for assignment in assignments],
            verbs=CommandLine(project.path, project.state, listen=lambda text: _log(log, text)),
            bounces=EnvoyBounces(endpoints.envoy_admin),
            floors=PostgresFloors(lambda capability, side: _dsn(project, endpoints, capability, side)),
            sides=DatabaseSides(project, endpoints),
            rows=_rows(project, endpoints, held),
            writers=size.writers,
            broker=BROKERS.get(kind := urlsplit(endpoints.broker).scheme, kind) or "none",
            monolith=lambda: _running(endpoints.addresses.get(project.monolith, "")),
        )


class DatabaseSides(Sides):
    """Reads ``strangler.side`` of both databases."""

    def __init__(self, project: Project, endpoints: Endpoints) -> None:
        self._project = project
        self._endpoints = endpoints

    def rows(self, capability: str) -> list[SideRow]:
        """Opens a session for each, and ends it at once."""
        rows = []
        for name in (MONOLITH, SERVICE):
            side = PostgresSide(capability, name, _dsn(self._project, self._endpoints, capability, name))
            try:
                row = side.row()
            finally:
                side.close()
            if row is not None:
                rows.append(row)
        return rows


def require_scenario(project: Project) -> str:
    """The name of the project's scenario, which can be imported.

    Raises:
        ConfigurationError: none is named, or it cannot be imported.
    """
    if project.scenario is None:
        raise ConfigurationError(
            "no scenario is named",
            place=f"{project.path.name}: traffic.scenario",
            remedy='write [traffic] scenario = "package.module:Class"',
            id="scenario",
        )
    load_scenario(project.path.parent, project.scenario)
    return project.scenario


def _assignments(project: Project, gateway: str, size: Size, folder: Path) -> list[Assignment]:
    scenario = require_scenario(project)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("journal-*.jsonl"):
        stale.unlink()
    run = secrets.token_hex(3)
    return [
        Assignment(
            root=str(project.path.parent),
            scenario=scenario,
            run=run,
            gateway=gateway,
            journal=str(folder / f"journal-{process}.jsonl"),
            process=process,
            processes=size.processes,
            clients=_share(size.clients, process, size.processes),
            writers=_share(size.writers, process, size.processes),
            think=size.think,
        )
        for process in range(size.processes)
    ]


def _share(whole: int, process: int, processes: int) -> int:
    return whole // processes + (process < whole % processes)


def _rows(project: Project, endpoints: Endpoints, held: ExitStack) -> Callable[[str, str], Damage]:
    @cache
    def session(dsn: str) -> Damage:
        connection = connect(dsn, purpose="check", idle_ms=60_000)
        held.callback(connection.close)
        return PostgresRows(connection)

    return lambda capability, side: session(_dsn(project, endpoints, capability, side))


def _dsn(project: Project, endpoints: Endpoints, capability: str, side: str) -> str:
    """The address of a side of a capability; a capability that never moves is in the monolith's database."""
    known = project.capabilities.get(capability)
    name = project.ledger if side == MONOLITH or known is None else known.database
    return endpoints.databases[name]


def _running(address: str) -> str:
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=1).close()
    except OSError:
        return "stopped"
    return "running"


def _log(log: IO[bytes], text: str) -> None:
    log.write(f"{time.strftime('%H:%M:%S')} {text}".encode())
    log.flush()
