"""The environment of each process of the local stack, as it is started and as a person may use it."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping

from strangler.adapters.telemetry import environment as telemetry
from strangler.domain.errors import ConfigurationError, StackError
from strangler.domain.handing import TRACE_KEY
from strangler.domain.project import Process, Project
from strangler.stack import ports, secrets, state
from strangler.stack.gateway import INTERNAL
from strangler.stack.processes import Programs
from strangler.stack.state import State


def programs(project: Project, present: State, assigned: Mapping[str, int]) -> Programs:
    """The project's programs in the stack that ``present`` describes; secrets that are missing are made."""
    folder = project.state / "secrets"
    gateway = project.gateway.address or f"http://{ports.LOOPBACK}:{assigned['gateway']}"
    internal = project.gateway.internal_address
    if project.gateway.internal and not internal:
        if INTERNAL not in assigned:
            raise StackError(
                "the running stack has no internal listener",
                remedy="run `strangler down` and `strangler up`, for strangler.toml has changed",
            )
        internal = f"http://{ports.LOOPBACK}:{assigned[INTERNAL]}"
    return Programs(
        project,
        ports=assigned,
        dsns={**present.databases, **present.applications},
        # Without internal paths processes ask each other where clients ask.
        shared={"GATEWAY_URL": gateway, "INTERNAL_URL": internal or gateway, **trace_key(project)}
        | ({"BROKER_URL": present.broker} if project.brokered else {}),
        secrets={
            "": secrets.environment(
                {name: kind for name, kind in project.secrets.items() if name not in project.holders}, folder
            ),
            **{name: secrets.environment_of(project, name, folder) for name in project.databases},
            **{name: secrets.environment_of_front(project, name, folder) for name in project.fronts},
        },
    )


def trace_key(project: Project) -> dict[str, str]:
    """The secret by which the gateway knows calls of the stack's own processes, where traces are asked for."""
    if not telemetry.asked(os.environ):
        return {}
    return {TRACE_KEY: secrets.text(project.state / "secrets", TRACE_KEY)}


def process_of(project: Project, name: str) -> Process:
    """A process that the local stack runs, or would run.

    Raises:
        ConfigurationError: there is none of that name, or it runs elsewhere.
    """
    found = project.processes.get(name)
    ours = [each for each, process in project.processes.items() if process.command]
    if found is None:
        near = difflib.get_close_matches(name, project.processes, n=1)
        raise ConfigurationError(
            f"there is no process {name}",
            place=str(project.path),
            remedy=f"did you mean {near[0]}?" if near else f"name one of: {', '.join(ours) or 'none has a command'}",
            id="unknown-name",
        )
    if not found.command or found.directory is None:
        raise ConfigurationError(
            f"the process {name} runs elsewhere, and only there its environment is known",
            place=str(project.path),
            remedy=f"log in where it runs; here are: {', '.join(ours) or 'none'}",
        )
    return found


def environment_of(project: Project, process: Process) -> dict[str, str]:
    """What the running stack gives the process.

    Raises:
        StackError: the stack is not up.
    """
    present = state.live(project)
    memory = project.state / "ports.json"
    try:
        assigned: dict[str, int] = json.loads(memory.read_text())
    except OSError as error:
        raise StackError(
            f"cannot be read: {error.strerror}", place=str(memory), remedy="run `strangler down` and `strangler up`"
        ) from error
    return programs(project, present, assigned).environment(process)
