"""The local stack's notes about itself: ``stack.json`` in the state folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from strangler.domain.address import Address
from strangler.domain.errors import StackError
from strangler.domain.project import Endpoints, Project
from strangler.stack.identity import Identity, is_alive

FOLDERS = ("log", "run", "secrets")
SHORT_BYTES = 256 * 1024**2
STARTING, READY, STOPPING = "starting", "ready", "stopping"

_NOT_UP = "the stack is not up"
_REMEDY = "run `strangler up`"
_REMEDY_ELSEWHERE = "set the variables that strangler.toml names for them, or run `strangler up`"


@dataclass(slots=True)
class Running:
    """A supervised process as it was last seen."""

    pid: int
    started: str
    tier: int
    restarts: int = 0
    stop_signal: int = 15
    stop_seconds: float = 15

    @property
    def identity(self) -> Identity:
        return Identity(self.pid, self.started)


@dataclass(slots=True)
class State:
    """The stack that runs, or a stack whose supervisor was killed."""

    supervisor: Identity
    phase: str = STARTING
    gateway: str = ""
    internal: str = ""
    envoy_admin: str = ""
    broker: str = ""
    metrics: str = ""
    prometheus: str = ""
    databases: Mapping[str, str] = field(default_factory=dict)
    # By database, the address for applications, where it differs from the tool's.
    applications: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    processes: dict[str, Running] = field(default_factory=dict)

    def has_supervisor(self) -> bool:
        return is_alive(self.supervisor)

    def is_alive(self) -> bool:
        return self.has_supervisor() or any(is_alive(each.identity) for each in self.processes.values())


def state_file(project: Project) -> Path:
    return project.state / "stack.json"


def read(project: Project) -> State | None:
    """The state that was written last; ``None`` after an orderly ``down``."""
    try:
        document = json.loads(state_file(project).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise StackError(
            f"cannot be read: {error}",
            place=str(state_file(project)),
            remedy="run `strangler down`, which finds the processes without it",
        ) from error
    supervisor = Identity(**document.pop("supervisor"))
    processes = {name: Running(**values) for name, values in document.pop("processes").items()}
    return State(supervisor=supervisor, processes=processes, **document)


def write(project: Project, state: State) -> None:
    """Replaces the file in one step; it holds passwords, so only its owner may read it."""
    write_private(state_file(project), json.dumps(asdict(state), indent=1))


def endpoints(project: Project) -> Endpoints:
    """The addresses of everything: from ``strangler.toml``, or else from the notes of the running stack.

    Raises ``StackError`` if the stack is needed and is not up.
    """
    return _resolved(project, _left_to_stack(project) + _gateway_left_to_stack(project))


def endpoints_of_databases(project: Project, names: Collection[str]) -> Endpoints:
    """The same for who asks the databases of these ``names`` alone: whatever else is a stack's that is not up has an
    empty address.

    Raises ``StackError`` if one of them is the stack's, and the stack is not up.
    """
    try:
        return endpoints(project)
    except StackError as error:
        left = [each for each in project.databases.values() if each.name in names and each.embedded]
        variables = [each.variable for each in left if each.variable]
        if not left:
            return _endpoints(project, None)
        if len(variables) < len(left):
            raise
        remedy = f"{error.remedy}, or set {' and '.join(variables)} to the addresses of databases that run elsewhere"
        raise StackError(error.message, place=error.place, remedy=remedy) from error


def endpoints_behind(project: Project) -> Endpoints:
    """The same for a gateway's agent: the ledger and the processes. It needs to know nothing about other databases."""
    behind = replace(project, databases={project.ledger: project.databases[project.ledger]})
    return _resolved(behind, _left_to_stack(behind))


def _resolved(project: Project, unknown: list[str]) -> Endpoints:
    return _endpoints(project, _live(project, unknown) if unknown else None)


def _endpoints(project: Project, state: State | None) -> Endpoints:
    return Endpoints(
        gateway=project.gateway.address or (state.gateway if state else ""),
        internal=project.gateway.internal_address or (state.internal if state else ""),
        envoy_admin=project.gateway.admin or (state.envoy_admin if state else ""),
        broker=Address(project.broker_url or (state.broker if state else "")),
        databases={
            name: Address(database.url or (state.databases[name] if state else ""))
            for name, database in project.databases.items()
        },
        addresses={
            name: process.address or (state.addresses[name] if state else "")
            for name, process in project.processes.items()
            if process.address or process.http
        },
    )


def live(project: Project) -> State:
    """The notes of the stack that is up.

    Raises:
        StackError: none is, or its addresses are not known yet.
    """
    return _live(project, [])


def environment_report(project: Project) -> dict[str, Any]:
    """What ``strangler env --json`` prints."""
    found = endpoints(project)
    report: dict[str, Any] = asdict(found)
    # Here the addresses are wanted with their passwords.
    report["broker"] = str.__str__(found.broker)
    report["databases"] = {name: str.__str__(url) for name, url in found.databases.items()}
    state = read(project)
    report["metrics"] = state.metrics if state else ""
    report["prometheus"] = state.prometheus if state else ""
    report["processes"] = (
        {name: each.pid for name, each in state.processes.items() if is_alive(each.identity)} if state else {}
    )
    return report


def restarts(project: Project) -> dict[str, int]:
    """The supervised processes that have died, and how many times each was started again."""
    state = read(project)
    return {name: each.restarts for name, each in state.processes.items() if each.restarts} if state else {}


def prometheus(project: Project) -> str:
    """The address of the stack's Prometheus; empty where there is none."""
    state = read(project)
    return state.prometheus if state else ""


def short_of_space(project: Project) -> str | None:
    """What is wrong if the disk of a local stack is nearly full; None without a stack."""
    if read(project) is None:
        return None
    free = shutil.disk_usage(project.state).free
    if free >= SHORT_BYTES:
        return None
    return (
        f"the disk of {project.state} has {free // 1024**2} MiB left: databases, broker and logs stop when it is full"
    )


def keep_private(project: Project) -> None:
    """From now on only this user can read what this process and its children make, and the folders of the stack.

    An earlier version has left these folders open.
    """
    os.umask(0o077)
    folders = [project.state / name for name in FOLDERS]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    if project.state != project.path.parent:
        folders.append(project.state)
    for folder in folders:
        if folder.stat().st_mode & 0o077 and folder.stat().st_uid == os.geteuid():
            folder.chmod(0o700)


def write_private(path: Path, text: str) -> None:
    """Writes a file of mode 600 that is whole whenever it is read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def _left_to_stack(project: Project) -> list[str]:
    """The parts whose addresses only the running stack knows."""
    return [
        *(f"database {name}" for name, each in project.databases.items() if each.embedded),
        *(f"process {name}" for name, each in project.processes.items() if each.http and not each.address),
    ]


def _gateway_left_to_stack(project: Project) -> list[str]:
    return [] if project.gateway.address else ["the gateway"]


def _live(project: Project, unknown: list[str]) -> State:
    state = read(project)
    if state is None or not state.is_alive():
        raise _not_up(project, unknown)
    if state.phase == STOPPING and state.has_supervisor():
        raise StackError("the stack is being stopped", place=str(project.state), remedy="wait, then run `strangler up`")
    embedded = [name for name, each in project.databases.items() if each.embedded]
    web = [name for name, each in project.processes.items() if each.http and not each.address]
    missing = [name for name in embedded if name not in state.databases]
    missing += [name for name in web if name not in state.addresses]
    if missing and state.phase == STARTING and state.has_supervisor():
        raise StackError(
            "the stack is still starting",
            place=str(project.state),
            remedy="wait until `strangler up` says it is up",
        )
    if missing:
        raise StackError(
            f"the running stack knows nothing of {', '.join(missing)}",
            remedy="run `strangler down` and `strangler up`, for strangler.toml has changed",
        )
    return state


def _not_up(project: Project, unknown: list[str]) -> StackError:
    """If some addresses are configured, the error names the missing ones instead of a missing stack."""
    given = [*(each.url for each in project.databases.values()), *(each.address for each in project.processes.values())]
    if not any(given):
        return StackError(_NOT_UP, remedy=_REMEDY)
    missing = ", ".join(unknown)
    return StackError(f"{_NOT_UP}, and nothing else says where to find: {missing}", remedy=_REMEDY_ELSEWHERE)
