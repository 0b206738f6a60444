"""Web processes beside each other, asked in turn: what one costs more than another."""

from __future__ import annotations

import http.client
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from strangler.stack import ports, secrets

from tests.benchmarks import servers

WARMING = 200  # requests of each that do not count

Ask = Callable[[httpx.Client], httpx.Response]


@dataclass(frozen=True)
class Taken:
    """What some requests of one server took: seconds of each, and of a processor per request."""

    times: Sequence[float]
    cpu: float

    @property
    def median_ms(self) -> float:
        return 1000 * statistics.median(self.times)

    @property
    def cpu_ms(self) -> float:
        return 1000 * self.cpu


class Web:
    """A server with one process, asked over one connection."""

    def __init__(self, pid: int, client: httpx.Client) -> None:
        (self._worker,) = psutil.Process(pid).children()
        self._began = 0.0
        self.client = client

    def begin(self) -> None:
        """From now on it counts."""
        self._began = self._used()

    def cpu(self, requests: int) -> float:
        """Seconds of a processor per request since then."""
        return (self._used() - self._began) / requests

    def _used(self) -> float:
        times = self._worker.cpu_times()
        return float(times.user + times.system)


def environment(project: Path, folder: Path, url: str) -> Mapping[str, str]:
    """What a web process of a service needs beside its port; it finds settings in ``folder``, too, where its secrets
    are made."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return {
        **plain,
        **secrets.environment({"SECRET_KEY": "text", "SERVICE_KEY_FILE": "ed25519"}, folder / "secrets"),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": os.pathsep.join((str(project), str(folder))),
        "DATABASE_URL": url,
        "BROKER_URL": "memory://",
        "GATEWAY_URL": "http://127.0.0.1:1",
        "INTERNAL_URL": "http://127.0.0.1:1",
        "OPEN_WITHOUT_MOVE": "1",
        "WEB_WORKERS": "1",
    }


def rate(address: str, path: str, *, clients: int, seconds: float) -> float:
    """Requests per second in a closed loop of so many clients, each with one connection; exits where one is refused."""
    place = urlsplit(address)
    ended = time.monotonic() + seconds

    def ask(_: int) -> int:
        connection, count = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60), 0
        while time.monotonic() < ended:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                sys.exit(f"a read was answered {answer.status}")
            count += 1
        connection.close()
        return count

    with ThreadPoolExecutor(clients) as threads:
        return sum(threads.map(ask, range(clients))) / seconds


@contextmanager
def started(project: Path, folder: Path, environments: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Web]]:
    """A web process of ``project`` for each environment, by its name; ``folder`` keeps their ports."""
    numbers = ports.assign(tuple(environments), {}, folder / "ports.json")
    with ExitStack() as held:
        yield {
            name: held.enter_context(_started(project, numbers[name], environment))
            for name, environment in environments.items()
        }


@contextmanager
def _started(project: Path, port: int, environment: Mapping[str, str]) -> Iterator[Web]:
    command = [sys.executable, "-m", "gunicorn", "config.wsgi:application"]
    command += ["--config", "python:chassis.servers.gunicorn"]
    with (
        servers.running(command, project, {**environment, "PORT": str(port)}, quiet=True) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        servers.until(lambda: _is_ready(client))
        yield Web(process.pid, client)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def ask_in_turn(webs: Mapping[str, Web], ask: Ask, count: int) -> dict[str, Taken]:
    """What each takes for ``count`` requests."""

    def begin() -> None:
        for web in webs.values():
            web.begin()

    times = times_in_turn({name: web.client for name, web in webs.items()}, ask, count, begin)
    return {name: Taken(times[name], web.cpu(count)) for name, web in webs.items()}


def times_in_turn(
    clients: Mapping[str, httpx.Client], ask: Ask, count: int, begin: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Seconds of ``count`` requests by each client, one at a time and in turn: what slows the machine slows all alike.
    ``begin`` is called when requests begin to count."""
    times: dict[str, list[float]] = {name: [] for name in clients}
    for number in range(WARMING + count):
        if number == WARMING:
            begin()
        # Whoever comes after a process that has just worked would find its caches: so each comes after each.
        for name in sorted(clients, key=lambda name: hash((number, name))):
            began = time.perf_counter()
            ask(clients[name]).raise_for_status()
            if number >= WARMING:
                times[name].append(time.perf_counter() - began)
    return times
