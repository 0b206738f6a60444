"""``strangler serve``: gateway agent, recovery and metrics."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable

import click
from prometheus_client import Counter, Gauge, start_http_server

from strangler import configuration
from strangler.adapters.stack import state
from strangler.application.agent import Agent
from strangler.application.status import Status, status
from strangler.application.watch import patrol
from strangler.domain.errors import StranglerError
from strangler.domain.project import SERVICE, Endpoints, Project

PATROL_SECONDS = 1.0
RETRY_SECONDS = 0.5

EPILOG = """\b
Example:
  strangler serve

Part of `strangler up`. Without it no switch begins, and an interrupted one waits for the next command.
"""

RECOVERED = Counter("strangler_recovered", "What recovery has put right", ["capability"])
OWNER = Gauge("strangler_service_owns", "1 where the service owns the capability", ["capability"])
EPOCH = Gauge("strangler_epoch", "The capability's epoch", ["capability"])
LAG = Gauge("strangler_lag_bytes", "WAL not yet confirmed", ["capability", "direction"])
ERRORS = Gauge("strangler_apply_errors", "Errors of the apply worker", ["capability", "direction"])
ORPHANS = Gauge("strangler_orphans", "Deletions whose clean-up is due, or done", ["capability", "state"])


@click.command(epilog=EPILOG)
def command() -> None:
    """Keeps the gateway at what the ledger says, and finishes or unwinds what was interrupted."""
    project = configuration.project()
    endpoints = state.endpoints(project)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    port = os.environ.get("METRICS_PORT")
    if port:
        start_http_server(int(port), addr=os.environ.get("METRICS_ADDRESS", "127.0.0.1"))
    threads = [
        threading.Thread(target=_again, args=(stop, lambda: _follow(project, endpoints, stop)), daemon=True),
        *(
            threading.Thread(target=_again, args=(stop, _patroller(project, endpoints, name, stop)), daemon=True)
            for name in project.capabilities
        ),
    ]
    failed = _end_on_a_bug(stop)
    for thread in threads:
        thread.start()
    click.echo("serving", err=True)
    stop.wait()
    if failed.is_set():
        raise SystemExit(1)


def _end_on_a_bug(stop: threading.Event) -> threading.Event:
    """A thread that fails ends the process, which is then started again; the others would go on without it."""
    failed = threading.Event()

    def hook(arguments: threading.ExceptHookArgs) -> None:
        threading.__excepthook__(arguments)
        failed.set()
        stop.set()

    threading.excepthook = hook
    return failed


def _again(stop: threading.Event, work: Callable[[], None]) -> None:
    """Runs for as long as the process does; a server that is away is waited for, and said once."""
    said = ""
    while not stop.is_set():
        try:
            work()
            said = ""
        except StranglerError as error:
            if str(error) != said:
                said = str(error)
                click.echo(said, err=True)
        stop.wait(RETRY_SECONDS)


def _follow(project: Project, endpoints: Endpoints, stop: threading.Event) -> None:
    ledger = configuration.ledger(project, endpoints)
    name = f"{socket.gethostname()}:{os.getpid()}"
    agent = Agent(name, project, ledger, configuration.gateway(project, endpoints))
    try:
        while not stop.is_set():
            agent.follow()
    finally:
        ledger.close()


def _patroller(project: Project, endpoints: Endpoints, name: str, stop: threading.Event) -> Callable[[], None]:
    def work() -> None:
        parts = configuration.parts_of(project, endpoints, name)
        try:
            while not stop.is_set():
                patrol(parts, _recovered)
                _measure(name, status(parts))
                stop.wait(PATROL_SECONDS)
        finally:
            parts.close()

    return work


def _recovered(capability: str, what: str) -> None:
    RECOVERED.labels(capability).inc()
    click.echo(f"{capability}: {what}", err=True)


def _measure(name: str, found: Status) -> None:
    OWNER.labels(name).set(found.owner == SERVICE)
    EPOCH.labels(name).set(found.epoch)
    for stream in found.streams:
        LAG.labels(name, stream["direction"]).set(stream["lag_bytes"] or 0)
        ERRORS.labels(name, stream["direction"]).set(stream["errors"])
    for what, count in found.orphans.items():
        ORPHANS.labels(name, what).set(count)
