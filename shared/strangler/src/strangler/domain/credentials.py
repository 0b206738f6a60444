"""The secrets of a stack in containers: the name of each, and how its keys follow from one another."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from strangler.domain.project import Project

APPLICATION = "application"
BROKER = "broker"
# Never the name of the ledger's schema: PostgreSQL looks into a schema of the user's own name first, so migrations that
# come after the ledger would put the application's tables there.
USER = "owner"
# The roles of a database, by name: of its tables' owner, of the tool, of the gateway's agent.
ROLES = ("app", "mover", "agent")
EACH = {"ed25519-each": "ed25519", "text-each": "text"}
"""Kinds of secret of which the processes of each database have one of their own, and the kind of that one."""
DATABASE_PORT = 5432
BROKER_PORT = 5672

Key = Callable[[Mapping[str, str]], str]
"""Makes the value of a key from those of the keys before it."""
Make = Callable[[str], str]
"""Makes a fresh value of a kind: ``text`` or ``ed25519``."""
Public = Callable[[str], str]
"""The public half of an Ed25519 key."""


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


def credentials(project: Project, hosts: Hosts, make: Make, public: Public) -> list[Credential]:
    """What a stack in containers needs: the project's own secrets, and for each user the access to every server whose
    address comes from the environment."""
    shared = {name: kind for name, kind in project.secrets.items() if kind not in EACH}
    found = []
    if shared:
        found.append(Credential(APPLICATION, {name: _fresh(make, kind) for name, kind in shared.items()}))
    for name, database in project.databases.items():
        if database.variable:
            place = f"{hosts.database.replace('{name}', name)}:{DATABASE_PORT}/{name}"
            found.append(_access(f"database-{name}", USER, "postgresql", place, make))
            for role in roles_of(project, name):
                found.append(_access(f"{role}-{name}", role, "postgresql", place, make))
            found += _service(project, name, make, public)
    found += [each for name in project.fronts for each in _front(project, name, make)]
    if project.broker_variable:
        found += _broker(project, f"{hosts.broker}:{BROKER_PORT}//", make)
    return found


def roles_of(project: Project, database: str) -> tuple[str, ...]:
    """The roles that use a database; the agent's only where the ledger is."""
    return ROLES if database == project.ledger else ROLES[:2]


def permissions(project: Project, database: str) -> str:
    """A pattern of what the processes of a database may declare, read and write at the broker.

    These are the queues of their capabilities (for the monolith: of all capabilities), the exchange of events, and what
    Celery makes for itself. Celery's remote control is left out, for it would reach all workers of all services. A
    command to another service goes through the default exchange, which is no queue.
    """
    own = sorted(
        {database}
        | {name for name, each in project.capabilities.items() if database in (project.ledger, each.database)}
    )
    queues = "|".join(re.escape(name) for name in own)
    return rf"^((?:{queues})(?:\.dead|\.tasks)?|events|celeryev|celery_delayed_.+)$"


def definitions(user: str, password: str, pattern: str | None) -> str:
    """A user as RabbitMQ's ``load_definitions`` reads it; without a ``pattern`` its administrator."""
    one: dict[str, Mapping[str, object]] = {
        "vhost": {"name": "/"},
        "user": {"name": user, "password": password, "tags": [] if pattern else ["administrator"]},
        "permission": {
            "user": user,
            "vhost": "/",
            "configure": pattern or ".*",
            "write": f"{pattern}|^amq\\.default$" if pattern else ".*",
            "read": pattern or ".*",
        },
    }
    return json.dumps({f"{kind}s": [entry] for kind, entry in one.items()})


def _service(project: Project, database: str, make: Make, public: Public) -> list[Credential]:
    """The secrets that only the processes of a database have, and the halves of keys that the others may see."""
    keys: dict[str, Key] = {}
    for name, kind in project.secrets.items():
        if kind in EACH:
            keys[name] = _fresh(make, EACH[kind])
        if kind == "ed25519-each":
            keys[f"{name}.pub"] = _public(name, public)
    return [Credential(f"service-{database}", keys)] if keys else []


def _front(project: Project, process: str, make: Make) -> list[Credential]:
    """The texts that only a web process without a database has; it signs in nobody's name, so it has no keys."""
    keys = {name: _fresh(make, EACH[kind]) for name, kind in project.secrets.items() if kind == "text-each"}
    return [Credential(f"service-{process}", keys)] if keys else []


def _public(name: str, public: Public) -> Key:
    return lambda values: public(values[name])


def _broker(project: Project, place: str, make: Make) -> list[Credential]:
    admin = _access(BROKER, USER, "amqp", place, make)
    configuration = {"rabbitmq.conf": _broker_configuration, "definitions.json": _definitions(None)}
    found = [Credential(BROKER, {**admin.keys, **configuration})]
    for name, database in project.databases.items():
        if database.variable:
            user = _access(f"{BROKER}-{name}", name, "amqp", place, make)
            pattern = permissions(project, name)
            found.append(Credential(user.name, {**user.keys, "definitions.json": _definitions(pattern)}))
    return found


def _definitions(pattern: str | None) -> Key:
    return lambda values: definitions(values["username"], values["password"], pattern)


def _access(name: str, user: str, scheme: str, place: str, make: Make) -> Credential:
    def address(values: Mapping[str, str]) -> str:
        named, password = (quote(values[key], safe="") for key in ("username", "password"))
        return f"{scheme}://{named}:{password}@{place}"

    return Credential(name, {"username": lambda _: user, "password": _fresh(make, "text"), "url": address})


def _fresh(make: Make, kind: str) -> Key:
    return lambda _: make(kind)


def _broker_configuration(values: Mapping[str, str]) -> str:
    return f"default_user = {values['username']}\ndefault_pass = {values['password']}\n"
