"""The shop in containers, from a copy of this tree: its own project, port, volumes and image names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from psycopg import sql
from strangler.stack import ports

from tests.stack import ROOT
from tests.waiting import eventually

BUILD_SECONDS = 900
UP_SECONDS = 300
VERB_SECONDS = 300


def missing() -> str | None:
    """The reason why no containers can be run; None if they can."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    for command in (("docker", "info"), ("docker", "compose", "version")):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            return f"{' '.join(command)}: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
    return None


def clone(folder: Path) -> None:
    """The files of a fresh clone: no secret, no state, nothing that was prepared."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


class Containers:
    """The services of ``docker-compose.yml`` in ``folder``; no other stack on this machine is seen or touched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._token = uuid4().hex[:8]
        port = ports.assign(["gateway", "storefront"], {}, folder.with_name("ports.json"))
        self.gateway = f"http://127.0.0.1:{port['gateway']}"
        self.storefront = f"http://127.0.0.1:{port['storefront']}"
        self._variables = {
            "GATEWAY_PORT": str(port["gateway"]),
            "STOREFRONT_PORT": str(port["storefront"]),
            "STRANGLER_VERSION": self._token,
        }

    def compose(
        self, *words: str, seconds: float = VERB_SECONDS, code: int | None = 0, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs ``docker compose WORDS…`` to its end, which must be ``code`` unless that is None."""
        done = subprocess.run(
            ["docker", "compose", "--project-name", f"suite-{self._token}", *words],
            cwd=self.folder,
            env={**_outside(), **self._variables},
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        said = f"docker compose {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        assert code is None or done.returncode == code, said
        return done

    def up(self) -> None:
        """Starts like a user after a clone, but waits until everything is healthy."""
        self.compose("up", "--build", "--wait", "--detach", seconds=BUILD_SECONDS)

    def down(self) -> None:
        """Containers and networks go, volumes stay."""
        self.compose("down", seconds=UP_SECONDS)

    def remove(self) -> None:
        """Everything of this project: containers, networks, volumes and the images that it has built."""
        images = {service["image"] for service in self.configuration()["services"].values() if "build" in service}
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5", seconds=UP_SECONDS)
        subprocess.run(["docker", "image", "rm", "--force", *images], capture_output=True, check=False)

    def configuration(self) -> dict[str, Any]:
        """What compose makes of the file, with every profile."""
        found: dict[str, Any] = json.loads(self.compose("--profile", "*", "config", "--format", "json").stdout)
        return found

    def inspect(self) -> Mapping[str, Mapping[str, Any]]:
        """``docker inspect`` of every container, by service; those that have ended are among them."""
        ids = self.compose("ps", "--all", "--quiet").stdout.split()
        done = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True)
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in json.loads(done.stdout)}

    def wait(self, *services: str) -> None:
        """Waits until each of them is healthy again."""

        def ailing() -> list[str]:
            found = self.inspect()
            return [name for name in services if found[name]["State"]["Health"]["Status"] != "healthy"]

        eventually(lambda: not ailing(), f"{', '.join(services)} healthy", within=UP_SECONDS)

    def execute(
        self, service: str, *words: str, code: int | None = 0, seconds: float = VERB_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """A command in a running container."""
        return self.compose("exec", "-T", service, *words, code=code, seconds=seconds)

    def strangler(self, *verb: str) -> str:
        """What a verb of the tool prints, called as a team does."""
        return self.execute("strangler", "strangler", *verb).stdout

    def status(self) -> Mapping[str, Mapping[str, Any]]:
        """``strangler status --json`` of every capability."""
        found: Mapping[str, Mapping[str, Any]] = json.loads(self.strangler("status", "--json"))["capabilities"]
        return found

    def owners(self) -> Mapping[str, str]:
        """By capability."""
        return {name: str(found["owner"]) for name, found in self.status().items()}

    def client(self) -> httpx.Client:
        """A client of the gateway that shows redirects instead of following them."""
        return httpx.Client(base_url=self.gateway, timeout=60)

    def database(self, name: str) -> Rows:
        return Rows(self, name)


class Rows:
    """Queries in one of the databases, which no port of this machine leads to; results as psycopg gives them."""

    def __init__(self, containers: Containers, database: str) -> None:
        self._containers = containers
        self._database = database
        self._found: list[tuple[Any, ...]] = []

    def execute(self, query: str, values: Sequence[object] = ()) -> Rows:
        """``query`` may have ``%s`` where ``values`` go; its columns need names of their own."""
        literals = [sql.Literal(value).as_string(None) for value in values]
        lines = f"SELECT json_agg(row_to_json(found)) FROM ({query % tuple(literals) if literals else query}) AS found"
        command = ["psql", "-X", "-q", "-A", "-t", "-U", "owner", "-d", self._database]
        done = self._containers.compose("exec", "-T", f"postgres-{self._database}", *command, text=lines)
        rows: Iterable[Mapping[str, Any]] = json.loads(done.stdout or "[]") or []
        self._found = [tuple(row.values()) for row in rows]
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._found

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._found[0] if self._found else None


def _outside() -> Mapping[str, str]:
    """This process's environment without what would lead compose to another project."""
    ours = ("COMPOSE_", "STRANGLER_", "GATEWAY_", "HOUSEHOLDS", "ALLOWED_HOSTS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
