"""A stack on which checkouts go on while its processes are killed and its links are cut."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
from strangler.stack import secrets

from tests.contract import people
from tests.contract.sides import CAPABILITIES
from tests.faults import books, queues
from tests.faults.books import Books, Session
from tests.faults.checkouts import Checkouts, Testimony
from tests.faults.cut import LOOPBACK, Link
from tests.faults.invariants import violations
from tests.stack import ROOT, Stack
from tests.waiting import eventually

MONOLITH, SERVICE = "monolith", "service"
CONSUMERS = ("products", "orders")  # of messages
DATABASES = ("monolith", *CAPABILITIES)
# The processes that a link leads elsewhere, by the name of the link.
LINKED = {
    "orders-worker to broker": ("orders-worker",),
    "products-relay to broker": ("products-relay",),
    "orders to gateway": ("orders", "orders-worker"),
    "products to database": ("products", "products-worker", "products-relay"),
}
TARGETS = {
    "orders-worker to broker": "broker",
    "products-relay to broker": "broker",
    "orders to gateway": "gateway-internal",
    "products to database": "postgres-products",
}
LOOK_SECONDS = 0.02
BACK_SECONDS = 120.0
DRAIN_SECONDS = 300.0
UNSETTLED = """
SELECT (SELECT count(*) FROM orders_order WHERE status = 'pending'),
       (SELECT count(*) FROM orders_saga WHERE state NOT IN ('done', 'failed'))
"""
WAITING = "SELECT count(*) FROM chassis_outbox"
LOWEST = "SELECT id, stock FROM products_product WHERE id = ANY(%s)"


class Market:
    """A stack that is up; ``links`` are those of its configuration that can be cut."""

    def __init__(self, stack: Stack, links: Mapping[str, Link] | None = None) -> None:
        self.stack = stack
        self.links = links or {}
        environment = stack.environment()
        self.gateway: str = environment["gateway"]
        self.broker: str = environment["broker"]
        self._addresses: Mapping[str, str] = environment["addresses"]
        self._databases: Mapping[str, str] = environment["databases"]
        self.owner = dict.fromkeys(CAPABILITIES, MONOLITH)

    def move_out(self, *capabilities: str) -> None:
        """Copies them to their services, which own them then."""
        for capability in capabilities:
            self.stack.run("start", capability)
            self.switch(capability)

    def switch(self, capability: str) -> None:
        self.stack.run("verify", capability)
        self.stack.run("switch", capability, "--yes")
        self.owner[capability] = SERVICE

    def reverse(self, capability: str) -> None:
        self.stack.run("verify", capability)
        self.stack.run("reverse", capability, "--yes")
        self.owner[capability] = MONOLITH

    def give(self, owners: Mapping[str, str]) -> None:
        """Moves what is not where it is wanted; all of it has been started."""
        for capability, side in owners.items():
            if self.owner[capability] != side:
                (self.switch if side == SERVICE else self.reverse)(capability)

    def connect(self) -> httpx.Client:
        """A client that gives up before its customer does, and then asks again."""
        return httpx.Client(base_url=self.gateway, timeout=30)

    def database(self, name: str) -> Session:
        return psycopg.connect(self._databases[name], autocommit=True)

    def database_of(self, capability: str) -> str:
        """The side whose rows count at present."""
        return MONOLITH if self.owner[capability] == MONOLITH else capability

    def checkouts(self, **settings: Any) -> Checkouts:
        with self.connect() as client:
            staff = people.staff(client)
        return Checkouts(self.connect, staff, **settings)

    def kill(self, process: str) -> None:
        """Kills it, and waits until the supervisor has started another one and that one answers."""
        before = self.stack.pids()[process]
        os.kill(before, signal.SIGKILL)
        eventually(
            lambda: self.stack.pids().get(process, before) != before and self._answers(process),
            f"{process} is back",
            within=BACK_SECONDS,
        )

    def strike(self, process: str) -> None:
        """Kills it and waits for nothing; a process that is dead already stays dead for a moment."""
        with suppress(ProcessLookupError, KeyError):
            os.kill(self.stack.pids()[process], signal.SIGKILL)

    def await_answers(self, processes: Iterable[str]) -> None:
        for process in processes:
            eventually(lambda each=process: self._answers(each), f"{process} answers", within=BACK_SECONDS)

    @contextmanager
    def watched(self, testimony: Testimony) -> Iterator[Books]:
        """Everything of the checkouts inside the block: what was heard and seen meanwhile, and at the end the rows."""
        with self.database("monolith") as session:
            since = books.now(session)
        queues.listen(self.broker)
        found = Books()
        with Sampler(self, list(testimony.shelf)) as sampler:
            yield found
        self.drain()
        with self.sessions() as sessions:
            found.__dict__.update(self.read(sessions, testimony, since).__dict__)
        found.lowest = sampler.lowest
        found.heard = queues.heard(self.broker)
        found.dead = [letter for capability in CONSUMERS for letter in queues.dead(self.broker, capability)]

    @contextmanager
    def sessions(self) -> Iterator[Mapping[str, Session]]:
        """One in each database."""
        with ExitStack() as held:
            yield {name: held.enter_context(self.database(name)) for name in DATABASES}

    def read(self, sessions: Mapping[str, Session], testimony: Testimony, since: datetime) -> Books:
        """The rows as these sessions see them."""
        owners = {capability: sessions[self.database_of(capability)] for capability in CONSUMERS}
        return books.read(owners, list(sessions.values()), testimony.shelf, since)

    def drain(self) -> None:
        """Waits until nothing is pending, nothing waits to be sent, and nothing lies in a queue."""
        eventually(lambda: self.remaining() == {}, "all has come to rest", within=DRAIN_SECONDS)

    def remaining(self) -> dict[str, int]:
        """Counts what has not come to rest; dead letters have come to rest."""
        found = {}
        with self.database(self.database_of("orders")) as session:
            row = session.execute(UNSETTLED.encode()).fetchone()
            assert row is not None
            found = {"pending orders": row[0], "open sagas": row[1]}
        for name in DATABASES:
            with self.database(name) as session:
                row = session.execute(WAITING.encode()).fetchone()
                assert row is not None
                found[f"outbox of {name}"] = row[0]
        if not any(found.values()):
            lying = queues.contents(self.stack.pids()["broker"])
            found |= {name: lying[name] for name in lying if name != queues.LISTENER and not name.endswith(".dead")}
        return {name: count for name, count in found.items() if count}

    def _answers(self, process: str) -> bool:
        try:
            if process in self._addresses:
                return httpx.get(f"{self._addresses[process]}/readyz", timeout=5).status_code == 200
            if process.startswith("postgres-"):
                self.database(process.removeprefix("postgres-")).close()
            if process == "broker":
                return bool(queues.contents(self.stack.pids()["broker"]))
        except (httpx.HTTPError, psycopg.OperationalError, OSError, subprocess.CalledProcessError):
            return False
        return True


class Sampler:
    """Looks at the stock all the time, on both sides; ``lowest`` is the least it has seen of each product."""

    def __init__(self, market: Market, products: list[int]) -> None:
        self.lowest: dict[int, int] = {}
        self._market = market
        self._products = products
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._look, args=(name,)) for name in ("monolith", "products")]

    def __enter__(self) -> Sampler:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _look(self, database: str) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                with self._market.database(database) as session:
                    while not self._over.wait(LOOK_SECONDS):
                        for product, stock in session.execute(LOWEST.encode(), [self._products]):
                            self.lowest[product] = min(stock, self.lowest.get(product, stock))
            except psycopg.OperationalError:
                continue  # it is being killed; the next one will answer


@contextmanager
def opened(folder: Path) -> Iterator[Market]:
    """A stack of its own whose links can be cut; it is up, is stopped at the end, and leaves no process."""
    with ExitStack() as held:
        links = {name: held.enter_context(_link(folder, target)) for name, target in TARGETS.items()}
        stack = Stack(folder, _configuration(folder, links))
        yield Market(held.enter_context(stack.running()), links)


def check(testimony: Testimony, found: Books) -> None:
    """All invariants at once."""
    wrong = violations(testimony, found)
    assert not wrong, "\n".join(f"{name}:\n  " + "\n  ".join(rows[:20]) for name, rows in wrong.items())


@contextmanager
def _link(folder: Path, target: str) -> Iterator[Link]:
    def port() -> int:
        return int(json.loads((folder / "ports.json").read_text())[target])

    link = Link(port)
    try:
        yield link
    finally:
        link.close()


def _configuration(folder: Path, links: Mapping[str, Link]) -> Path:
    """The repository's, with the links in the environments of those that they concern."""
    project = folder.with_name(f"{folder.name}-project")
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    for name in ("monolith", "services", "tests"):
        (project / name).symlink_to(ROOT / name)
    told: dict[str, dict[str, str]] = {}
    for name, processes in LINKED.items():
        variable, url = _url(folder, TARGETS[name], links[name].port)
        for process in processes:
            told.setdefault(process, {})[variable] = url
    text = (ROOT / "strangler.toml").read_text()
    for process, environment in told.items():
        lines = "".join(f'{variable} = "{value}"\n' for variable, value in environment.items())
        header = f"[processes.{process}.environment]\n"
        text = text.replace(header, header + lines) if header in text else f"{text}\n{header}{lines}"
    (project / "strangler.toml").write_text(text)
    return project / "strangler.toml"


def _url(folder: Path, target: str, port: int) -> tuple[str, str]:
    kept = folder / "secrets"
    if target == "broker":
        return "BROKER_URL", f"amqp://strangler:{secrets.text(kept, 'broker')}@{LOOPBACK}:{port}//"
    if target == "gateway-internal":
        return "INTERNAL_URL", f"http://{LOOPBACK}:{port}"
    password = secrets.text(kept, "postgres")
    return "DATABASE_URL", f"postgresql://postgres:{password}@{LOOPBACK}:{port}/{target.removeprefix('postgres-')}"
