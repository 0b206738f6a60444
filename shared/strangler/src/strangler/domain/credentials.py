"""The secrets of a stack in containers: for each what it is called, and how its keys follow from one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from strangler.domain.project import Project

APPLICATION = "application"
BROKER = "broker"
# Never the name of the ledger's schema: PostgreSQL looks into a schema of the user's own name first, so migrations that
# come after the ledger would put the application's tables there.
USER = "owner"
DATABASE_PORT = 5432
BROKER_PORT = 5672

Key = Callable[[Mapping[str, str]], str]
"""Makes the value of a key from those of the keys before it."""
Make = Callable[[str], str]
"""Makes a fresh value of a kind: ``text`` or ``ed25519``."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One Secret: its keys, in the order in which they are made."""

    name: str
    keys: Mapping[str, Key]

    def values(self) -> dict[str, str]:
        """A fresh value for each key."""
        values: dict[str, str] = {}
        for key, make in self.keys.items():
            values[key] = make(values)
        return values


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where databases and broker will be; ``{name}`` in ``database`` is the database's name."""

    database: str = "postgres-{name}"
    broker: str = "rabbitmq"


def credentials(project: Project, hosts: Hosts, make: Make) -> list[Credential]:
    """What a stack in containers needs: the project's own secrets, and access to whatever has its address from the
    environment."""
    found = []
    if project.secrets:
        found.append(Credential(APPLICATION, {name: _fresh(make, kind) for name, kind in project.secrets.items()}))
    for name, database in project.databases.items():
        if database.variable:
            host = hosts.database.replace("{name}", name)
            found.append(_access(f"database-{name}", "postgresql", f"{host}:{DATABASE_PORT}/{name}", make))
    if project.broker_variable:
        access = _access(BROKER, "amqp", f"{hosts.broker}:{BROKER_PORT}//", make)
        found.append(Credential(BROKER, {**access.keys, "rabbitmq.conf": _broker_configuration}))
    return found


def _access(name: str, scheme: str, place: str, make: Make) -> Credential:
    def address(values: Mapping[str, str]) -> str:
        user, password = (quote(values[key], safe="") for key in ("username", "password"))
        return f"{scheme}://{user}:{password}@{place}"

    return Credential(name, {"username": lambda _: USER, "password": _fresh(make, "text"), "url": address})


def _fresh(make: Make, kind: str) -> Key:
    return lambda _: make(kind)


def _broker_configuration(values: Mapping[str, str]) -> str:
    return f"default_user = {values['username']}\ndefault_pass = {values['password']}\n"
