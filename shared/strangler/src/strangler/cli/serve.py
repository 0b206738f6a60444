"""``strangler serve``: gateway agent, recovery and metrics."""

from __future__ import annotations

import threading
import time

import click
import psycopg

from strangler import configuration
from strangler.adapters import health, logs
from strangler.adapters.postgres.schema.lease import PostgresLease
from strangler.application.agent import Agent
from strangler.application.sides import Parts
from strangler.application.status import status
from strangler.application.watch import patrol
from strangler.cli import measures
from strangler.cli.rounds import Rounds, own_name
from strangler.domain.errors import StranglerError
from strangler.domain.project import Endpoints, Project
from strangler.stack import state

PATROL_SECONDS = 1.0
ANSWER_SECONDS = 5.0

EPILOG = """\b
Examples:
  strangler serve
  strangler serve --no-agent      # where `strangler agent` runs beside each gateway

Part of `strangler up`. Without it no switch begins, and an interrupted one waits for the next command. Of several one
works, the others wait for its lease; with METRICS_PORT they answer /healthz, /readyz and /metrics.
"""


@click.command(epilog=EPILOG)
@click.option("--no-agent", is_flag=True, help="Recovery and metrics alone; the gateway has an agent elsewhere.")
def command(*, no_agent: bool) -> None:
    """Keeps the gateway at what the ledger says, and finishes or unwinds what was interrupted."""
    project = configuration.project()
    endpoints = state.endpoints(project)
    agent = None if no_agent else _agent(project, endpoints)
    rounds = Rounds()
    shift = Shift(configuration.lease(project, endpoints, f"serve {own_name()}"), rounds.stop)
    health.serve(alive=rounds.standing, ready=shift.unanswered)
    rounds.go("lease", shift.keep, at_the_end=shift.give_up)
    for name in project.capabilities:
        rounds.go(name, Patrol(project, endpoints, name, shift).look)
    heart = Heart(project, endpoints, shift)
    rounds.go("heartbeat", heart.beat, at_the_end=heart.rest)
    if agent is not None:
        rounds.go("agent", agent.follow, at_the_end=agent.leave)
    logs.tell("serving", "serving")
    rounds.until_told()


def _agent(project: Project, endpoints: Endpoints) -> Agent:
    gateway = configuration.gateway(project, endpoints)
    return Agent(own_name(), project, configuration.ledger(project, endpoints), gateway)


class Shift:
    """Keeps the lease of the process that works, and reports it."""

    def __init__(self, lease: PostgresLease, stop: threading.Event) -> None:
        self.stop = stop
        self._lease = lease
        self._ours = threading.Event()
        self._answered = 0.0
        self._said = ""

    def keep(self) -> None:
        """Raises StranglerError while the ledger is away."""
        try:
            if self._lease.keep():
                self._ours.set()
                self._say("working")
            else:
                self._ours.clear()
                self._say(f"waiting: {self._lease.holder() or 'another one'} works")
            self._answered = time.monotonic()
        except (StranglerError, psycopg.Error):
            self._ours.clear()
            self._said = ""
            raise
        finally:
            measures.LEASE.set(self._ours.is_set())
        self.stop.wait(PATROL_SECONDS)

    def await_ours(self) -> bool:
        """Waits a little until it is our shift, and returns whether it is."""
        return self._ours.wait(PATROL_SECONDS)

    def unanswered(self) -> str | None:
        """What is wrong if the ledger has not answered for a while, whether it is our shift or not."""
        return None if time.monotonic() - self._answered < ANSWER_SECONDS else "the ledger does not answer"

    def give_up(self) -> None:
        """Lets another process work at once."""
        self._ours.clear()
        self._lease.give_up()

    def _say(self, what: str) -> None:
        if what != self._said:
            self._said = what
            logs.tell("shift", what, state=what)


class Heart:
    """Sends the heartbeat of canaries, whenever it is our shift."""

    def __init__(self, project: Project, endpoints: Endpoints, shift: Shift) -> None:
        self._shift = shift
        self._heartbeat = configuration.heartbeat(project, endpoints)

    def beat(self) -> None:
        """One turn; raises StranglerError while a server is away."""
        if not self._shift.await_ours():
            self.rest()
            return
        try:
            self._heartbeat.turn()
        except (StranglerError, psycopg.Error):
            self.rest()
            raise

    def rest(self) -> None:
        """Ends its sessions."""
        self._heartbeat.rest()


class Patrol:
    """Looks after one capability, whenever it is our shift."""

    def __init__(self, project: Project, endpoints: Endpoints, name: str, shift: Shift) -> None:
        self._project = project
        self._endpoints = endpoints
        self._name = name
        self._shift = shift
        self._parts: Parts | None = None

    def look(self) -> None:
        """Recovers and measures; raises StranglerError while a server is away."""
        if not self._shift.await_ours():
            self._rest()
            measures.forget(self._name)
            return
        try:
            if self._parts is None:
                self._parts = configuration.parts_of(self._project, self._endpoints, self._name)
                # Before any move: agents whose role may make nothing wait until the ledger is there.
                self._parts.ledger.install()
            patrol(self._parts, _recovered)
            measures.show(status(self._parts), self._parts.ledger.archived_at())
            measures.read_history(self._name, self._parts.ledger)
        except (StranglerError, psycopg.Error):
            self._rest()
            raise
        finally:
            configuration.TRACER.send_aside()
        self._shift.stop.wait(PATROL_SECONDS)

    def _rest(self) -> None:
        if self._parts is not None:
            self._parts.close()
            self._parts = None


def _recovered(capability: str, what: str) -> None:
    measures.RECOVERED.labels(capability).inc()
    logs.tell("recovered", f"{capability}: {what}", capability=capability, what=what)
