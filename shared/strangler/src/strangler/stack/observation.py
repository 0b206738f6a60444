"""The Prometheus of a local stack, and whom a Prometheus asks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from strangler.adapters import observability
from strangler.adapters.observability import BACKGROUND, GATEWAY, SERVE, WEB, Jobs, Target
from strangler.domain.errors import ConfigurationError, StackError
from strangler.domain.project import Process, Project
from strangler.stack import state
from strangler.stack.ports import LOOPBACK
from strangler.stack.processes import AGENT, is_healthy, metrics_port
from strangler.stack.program import Program, Tier
from strangler.stack.state import State

NAME = "prometheus"
INTERVAL = "2s"
RETENTION_TIME, RETENTION_SIZE = "2d", "512MB"


def require(project: Project) -> Path:
    """The Prometheus of this machine.

    Raises:
        StackError: there is none.
        ConfigurationError: a process of the project has its name in the stack.
    """
    if NAME in project.processes or NAME in project.databases:
        raise ConfigurationError(
            f"the project has a {NAME} of its own, and with --observe there would be two",
            place=str(project.path),
            remedy="call yours by another name there, or leave --observe away",
        )
    found = shutil.which(NAME)
    if found is None:
        raise StackError(
            "there is no prometheus on the PATH",
            place="--observe",
            remedy="install it (Debian and Ubuntu: apt-get install prometheus; elsewhere: "
            "https://prometheus.io/download/), or leave --observe away: `strangler render observability` writes what a "
            "Prometheus of yours needs",
            id="prometheus-missing",
        )
    return Path(found)


def jobs(project: Project, present: State | None, ports: Mapping[str, int]) -> Jobs:
    """Whom to ask: in the stack that ``present`` describes, with the ports that it has given to its processes; and of a
    project without one, as far as ``strangler.toml`` says it."""
    here = present.addresses if present else {}
    web = [
        Target(name, _place(process.address or here.get(name)))
        for name, process in project.processes.items()
        if process.http or process.address
    ]
    background = [
        Target(name, _local(ports.get(metrics_port(name))))
        for name, process in project.processes.items()
        if _is_background(process)
    ]
    serve = _place(present.metrics) if present else None
    gateway = _place(project.gateway.admin or (present.envoy_admin if present else None))
    return {WEB: web, BACKGROUND: background, SERVE: [Target(AGENT, serve)], GATEWAY: [Target("gateway", gateway)]}


def assigned(project: Project) -> dict[str, int]:
    """The ports of the stack that is up; those of background processes only if it is observed."""
    present, memory = state.read(project), project.state / "ports.json"
    if present is None or not memory.exists():
        return {}
    ports: dict[str, int] = json.loads(memory.read_text())
    return ports if present.prometheus else {}


def background(project: Project) -> list[str]:
    """The processes of the stack that need a port for their metrics."""
    return [name for name, process in project.processes.items() if _is_background(process)]


def program(project: Project, binary: Path, targets: Jobs, port: int) -> Program:
    """Asks everything on this machine; its data are below the state folder, and bounded."""
    folder = project.state / NAME

    def prepare() -> None:
        observability.write(folder, targets, interval=INTERVAL)

    return Program(
        name=NAME,
        command=[
            str(binary),
            f"--config.file={folder / observability.CONFIGURATION}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--storage.tsdb.retention.time={RETENTION_TIME}",
            f"--storage.tsdb.retention.size={RETENTION_SIZE}",
            f"--web.listen-address={LOOPBACK}:{port}",
            "--log.level=warn",
        ],
        directory=project.state,
        log=project.state / "log" / f"{NAME}.log",
        tier=Tier.AGENT,
        ready=lambda: is_healthy(f"http://{LOOPBACK}:{port}", "/-/ready"),
        prepare=prepare,
    )


def _is_background(process: Process) -> bool:
    return bool(process.command) and not process.http and not process.address


def _local(port: int | None) -> str | None:
    return None if port is None else f"{LOOPBACK}:{port}"


def _place(url: str | None) -> str | None:
    """Host and port of an address."""
    if not url:
        return None
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or None
