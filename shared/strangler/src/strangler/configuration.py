"""Puts the parts together: the one place that knows both the application and its adapters."""

from __future__ import annotations

import difflib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

from strangler.adapters import toml
from strangler.adapters.envoy.gateway import EnvoyGateway
from strangler.adapters.postgres.replication import PostgresReplication
from strangler.adapters.postgres.schema.lease import PostgresLease
from strangler.adapters.postgres.schema.ledger import PostgresLedger
from strangler.adapters.postgres.schema.outbox import Outbox
from strangler.adapters.postgres.schema.side import PostgresSide
from strangler.adapters.telemetry.tracer import AskedTracer
from strangler.application.gates import Ready
from strangler.application.heartbeat import Heartbeat
from strangler.application.sides import Parts
from strangler.domain.errors import ConfigurationError
from strangler.domain.project import MONOLITH, SERVICE, Capability, Endpoints, Project
from strangler.stack import state

# One of each process: spans that begin in one part of a verb are below those of another.
TRACER = AskedTracer(os.environ, lambda line: print(f"traces: {line}", file=sys.stderr))

AT = {"STRANGLER_KILL_AT": signal.SIGKILL, "STRANGLER_STOP_AT": signal.SIGSTOP}


def project() -> Project:
    """The project of the present folder's ``strangler.toml``, or of the file that STRANGLER_CONFIG names."""
    return toml.load()


def capability(project: Project, name: str) -> Capability:
    """The named capability.

    Raises:
        ConfigurationError: listing the capabilities that exist.
    """
    found = project.capabilities.get(name)
    if found is None:
        near = difflib.get_close_matches(name, project.capabilities, n=1)
        known = ", ".join(sorted(project.capabilities)) or "none is in the file"
        raise ConfigurationError(
            f"there is no capability {name}",
            place=str(project.path),
            remedy=f"did you mean {near[0]}? There are: {known}" if near else f"name one of: {known}",
            id="unknown-name",
        )
    return found


def ledger(project: Project, endpoints: Endpoints) -> PostgresLedger:
    """The ledger, in the monolith's database."""
    return PostgresLedger(endpoints.databases[project.ledger])


def lease(project: Project, endpoints: Endpoints, holder: str) -> PostgresLease:
    """The right to be the one `strangler serve` that works, for the process named ``holder``."""
    return PostgresLease(endpoints.databases[project.ledger], "serve", holder)


def outbox(project: Project, database: str) -> Outbox | None:
    """The outbox in which a database's applications leave events, if they do."""
    table = project.databases[database].outbox
    return Outbox(database, table) if table else None


def parts_of(project: Project, endpoints: Endpoints, name: str) -> Parts:
    """Everything a verb needs to act on one capability; nothing is connected yet."""
    chosen = capability(project, name)
    databases = {MONOLITH: project.ledger, SERVICE: chosen.database}
    dsns = {side: endpoints.databases[database] for side, database in databases.items()}
    return Parts(
        project=project,
        capability=chosen,
        ledger=ledger(project, endpoints),
        sides={
            side: PostgresSide(chosen.name, side, dsn, outbox=outbox(project, databases[side]))
            for side, dsn in dsns.items()
        },
        replication=PostgresReplication(
            project,
            chosen,
            dsns=dsns,
            replication_dsns={
                side: project.databases[database].replication_url or dsns[side] for side, database in databases.items()
            },
            urls={MONOLITH: endpoints.addresses[project.monolith], SERVICE: endpoints.addresses[chosen.process]},
        ),
        tracer=TRACER,
    )


def heartbeat(project: Project, endpoints: Endpoints) -> Heartbeat:
    """The heartbeat of all capabilities."""
    dsn = endpoints.databases[project.ledger]
    sides = {name: PostgresSide(name, MONOLITH, dsn) for name in project.capabilities}
    return Heartbeat(ledger(project, endpoints), sides, time.monotonic)


@contextmanager
def parts(name: str, *, endpoints: Callable[[Project], Endpoints] = state.endpoints) -> Iterator[Parts]:
    """The parts of one capability of the present project, closed at the end; ``endpoints`` finds the addresses."""
    present = project()
    capability(present, name)
    found = parts_of(present, endpoints(present), name)
    try:
        yield found
    finally:
        found.close()


def gateway_folder(project: Project) -> Path:
    """The folder of Envoy's files."""
    return project.gateway.directory or project.state / "gateway"


def gateway(project: Project, endpoints: Endpoints) -> EnvoyGateway:
    """The Envoy that this project's agent configures.

    Raises:
        ConfigurationError: its admin is not known.
    """
    if not endpoints.envoy_admin:
        raise ConfigurationError(
            "the gateway's admin is not known, so nothing can be seen of it",
            place="gateway.admin",
            remedy="run `strangler agent` beside it and `strangler serve --no-agent` here, or give the admin's address",
            id="gateway-admin-unknown",
        )
    return EnvoyGateway(gateway_folder(project), endpoints.envoy_admin)


def readiness(project: Project, endpoints: Endpoints) -> Ready:
    """Asks a process for its health."""
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=1.0, read=3.0))

    def ready(process: str) -> str | None:
        try:
            answer = pool.request("GET", endpoints.addresses[process] + project.processes[process].health)
        except urllib3.exceptions.HTTPError as error:
            return f"does not answer: {type(error).__name__}"
        return None if answer.status == 200 else f"answers {answer.status}"

    return ready


def boundary(name: str) -> None:
    """Rehearses faults: if STRANGLER_KILL_AT names the boundary, this process ends as by ``kill -9``; if
    STRANGLER_STOP_AT names it, the process stands still until it gets SIGCONT."""
    for variable, number in AT.items():
        if os.environ.get(variable) == name:
            os.kill(os.getpid(), number)
