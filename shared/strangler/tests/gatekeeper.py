"""A gateway and its agent, beside a ledger that a test writes: like a pod, but on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import urllib3
from envoys import Side, eventually, free_port, running
from servers import Cluster
from strangler.adapters.postgres.schema.ledger import PostgresLedger
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE

FILE = """
[project]
name = "depot"
ledger = "old"
monolith = "web"

[gateway]
address = "http://not-asked"
admin_env = "ADMIN"
trusted_hops_env = "HOPS"

[databases.old]
url_env = "OLD_URL"

[databases.new]
embedded = true
url_env = "NEW_URL"

[processes.web]
directory = "."
command = ["serve"]
http = true
address_env = "WEB_URL"

[processes.things]
address_env = "THINGS_URL"

[processes.worker]
directory = "."
command = ["work"]

[capabilities.things]
tables = ["thing"]
process = "things"
database = "new"
routes = ["GET,POST /things"]
"""


@dataclass
class Gatehouse:
    """The folder that agent and Envoy share, their ports, and the ledger's database on ``cluster``."""

    folder: Path
    cluster: Cluster
    database: str
    sides: dict[str, Side]
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    internal_port: int = field(default_factory=free_port)
    health_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        (self.folder / "strangler.toml").write_text(FILE)

    @property
    def files(self) -> Path:
        return self.folder / "state" / "gateway"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of an agent, without the service's database, which an agent does not need."""
        return {
            "STRANGLER_CONFIG": str(self.folder / "strangler.toml"),
            "STRANGLER_STATE": str(self.folder / "state"),
            "OLD_URL": self.cluster.dsn(self.database),
            "WEB_URL": self.sides[MONOLITH].address,
            "THINGS_URL": self.sides[SERVICE].address,
        }

    def start(self, *words: str, umask: int = -1, **environment: str) -> subprocess.Popen[str]:
        """``strangler agent``, with its ports."""
        ports = {"--listen": self.port, "--admin": self.admin_port, "--listen-internal": self.internal_port}
        places = [word for option, port in ports.items() for word in (option, f"127.0.0.1:{port}")]
        return subprocess.Popen(
            [sys.executable, "-m", "strangler.cli.main", "agent", *places, *words],
            env={**os.environ, **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=umask,
        )

    def prepare(self, **environment: str) -> str:
        """The output of ``agent --prepare``, once it has ended."""
        with self.start("--prepare", **environment) as process:
            told = process.communicate(timeout=60)[0]
        assert process.returncode == 0, told
        return told

    @contextmanager
    def agent(self, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """An agent at work; it is stopped at the end."""
        process = self.start(*words, METRICS_PORT=str(self.health_port), **environment)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    @contextmanager
    def envoy(self) -> Iterator[subprocess.Popen[bytes]]:
        with running(self.files, self.admin_port) as process:
            yield process

    def health(self, path: str) -> tuple[int, str]:
        """The status that the agent answers; 0 while it does not answer."""
        try:
            answer = urllib3.request("GET", f"http://127.0.0.1:{self.health_port}{path}", retries=False)
        except urllib3.exceptions.HTTPError:
            return 0, ""
        return answer.status, answer.data.decode().strip()

    def await_ready(self) -> None:
        eventually(lambda: self.health("/readyz") == (200, "ok"), 30)

    def get(self, port: int = 0) -> str:
        """Which side answers, there or where clients ask."""
        url = f"http://127.0.0.1:{port or self.port}/things"
        return urllib3.request("GET", url, retries=False, timeout=30).data.decode()

    def hide(self) -> None:
        """From now on processes alone may ask for things."""
        said = 'internal = ["/things"]\ninternal_address = "http://not-asked-within"\n\n[databases.old]'
        file = self.folder / "strangler.toml"
        file.write_text(file.read_text().replace("[databases.old]", said))

    def ledger(self) -> PostgresLedger:
        return PostgresLedger(self.cluster.dsn(self.database))

    def give_to(self, owner: str) -> None:
        """Changes only the ledger."""
        ledger = self.ledger()
        try:
            ledger.install()
            move = ledger.move("things") or ledger.begin("things")
            swapped = ledger.swap(
                "things", frm=move.state, to=State.MOVING, epoch=move.epoch, new_epoch=move.epoch + 1, owner=owner
            )
            assert swapped
        finally:
            ledger.close()

    def agents(self) -> dict[str, dict[str, int]]:
        """The agents that have been seen lately."""
        ledger = self.ledger()
        try:
            return ledger.agents(within=5) if ledger.exists() else {}
        finally:
            ledger.close()

    def shut_ledger(self, *, shut: bool) -> None:
        """Keeps the ledger's database from accepting sessions, or lets it accept them again."""
        with self.cluster.connect() as connection:
            connection.execute(f"ALTER DATABASE {self.database} ALLOW_CONNECTIONS {str(not shut).lower()}".encode())
            if shut:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self.database,)
                )


def terminate(process: subprocess.Popen[str]) -> str:
    """Ends it in order; returns its output."""
    process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=30)[0]
