"""Which of the secrets each container sees, and under which name."""

from __future__ import annotations

from collections.abc import Mapping

from strangler.domain.credentials import APPLICATION, BROKER, EACH, definitions, permissions, roles_of
from strangler.domain.project import Project

Values = Mapping[str, Mapping[str, str]]
"""By Secret and key."""

# By it the gateway knows calls of services, whose traces it goes on with.
TRACE_KEY = "GATEWAY_TRACE_KEY"
# RabbitMQ's configuration, in the container that sees these files as /run/secrets.
CONFIGURATION = "load_definitions = /run/secrets/definitions\n"


def handed_out(project: Project, values: Values) -> dict[str, str]:
    """The contents of the files, by path: ``app-NAME/…`` for the processes of a database and for a web process without
    one, ``signing-NAME/…`` for those of them that sign, ``postgres-NAME/…`` for a database's server, ``strangler/…``,
    ``gateway/…`` and ``broker/…``."""
    found: dict[str, str] = {}
    for name, database in project.databases.items():
        if database.variable is None:
            continue
        server = {
            "username": values[f"database-{name}"]["username"],
            "password": values[f"database-{name}"]["password"],
        }
        roles = {f"{role.upper()}_PASSWORD": values[f"{role}-{name}"]["password"] for role in roles_of(project, name)}
        found |= _in(f"postgres-{name}", {**server, **roles})
        found |= _in(f"app-{name}", _application(project, name, values))
        found |= _in(f"signing-{name}", {key: values[APPLICATION][key] for key in _signing(project, name)})
        found[f"strangler/{database.variable}"] = values[f"mover-{name}"]["url"]
        if name == project.ledger:
            found[f"gateway/{database.variable}"] = values[f"agent-{name}"]["url"]
            if project.secrets.get(TRACE_KEY) == "text":
                found[f"gateway/{TRACE_KEY}"] = values[APPLICATION][TRACE_KEY]
    for name in project.fronts:
        found |= _in(f"app-{name}", _front(project, name, values))
    if project.broker_variable:
        found |= _in("broker", _broker(project, values))
    return found


def withdrawn(project: Project) -> list[str]:
    """Paths that an earlier version has handed out, and that no container may see any more."""
    return [f"app-{name}/{key}" for name in project.databases for key in _signing(project, name)]


def _signing(project: Project, database: str) -> list[str]:
    """The shared keys of its web processes: a process that has one can sign in the name of all that have it."""
    return [name for name, kind in project.secrets.items() if kind == "ed25519" and holds(project, name, database)]


def holds(project: Project, secret: str, database: str) -> bool:
    """Whether the processes of a database get a secret of the project."""
    return database in project.holders.get(secret, project.databases)


def _application(project: Project, database: str, values: Values) -> dict[str, str]:
    found = {"DATABASE_URL": values[f"app-{database}"]["url"]}
    if project.broker_variable:
        found["BROKER_URL"] = values[f"{BROKER}-{database}"]["url"]
    for secret, kind in project.secrets.items():
        if kind == "text" and holds(project, secret, database):
            found[secret] = values[APPLICATION][secret]
        if kind in EACH:
            found[secret] = values[f"service-{database}"][secret]
        if kind == "ed25519-each":
            found |= {
                f"{secret}.{other}.pub": values[f"service-{other}"][f"{secret}.pub"]
                for other, each in project.databases.items()
                if each.variable
            }
    return found


def _front(project: Project, process: str, values: Values) -> dict[str, str]:
    found = {}
    for secret, kind in project.secrets.items():
        if kind == "text" and secret not in project.holders:
            found[secret] = values[APPLICATION][secret]
        if kind == "text-each":
            found[secret] = values[f"service-{process}"][secret]
    return found


def _broker(project: Project, values: Values) -> dict[str, str]:
    own = values[BROKER]
    found = {
        "username": own["username"],
        "password": own["password"],
        "rabbitmq.conf": CONFIGURATION,
        "definitions/broker.json": definitions(own["username"], own["password"], None),
    }
    for name, database in project.databases.items():
        if database.variable:
            user = values[f"{BROKER}-{name}"]
            # Made anew each time: each further capability adds permissions.
            found[f"definitions/broker-{name}.json"] = definitions(
                user["username"], user["password"], permissions(project, name)
            )
    return found


def _in(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": value for name, value in files.items()}
