"""What is known to fail before anything is started: folders, interpreters, programs and servers that are not there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path

from strangler.domain.errors import StackError
from strangler.domain.project import Process, Project
from strangler.stack import broker, gateway, postgres
from strangler.stack.processes import search_path

ASK_SECONDS = 60.0
RUNTIME = "chassis"
HAS_RUNTIME = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({RUNTIME!r}) is None)"


def require_startable(project: Project, retired: Collection[str] = ()) -> None:
    """Looks at all that `strangler up` is about to start, but for the ``retired``; starts nothing that lasts.

    Raises:
        StackError: naming everything that is missing.
    """
    found = [*_servers(project), *_processes(project, retired)]
    if not found:
        return
    if len(found) == 1:
        raise found[0]
    raise StackError(
        f"{len(found)} things are missing:" + "".join(f"\n    {each.place}: {each.message}" for each in found),
        place=str(project.path),
        remedy="; ".join(dict.fromkeys(each.remedy for each in found)) + "; nothing was started",
    )


def _servers(project: Project) -> Iterator[StackError]:
    for name, database in project.databases.items():
        if database.embedded:
            try:
                postgres.require_fit(name, project.state, project.postgres)
            except StackError as error:
                yield error
                break  # of the same programs
    if project.brokered and not project.broker_url:
        try:
            broker.choose(project.state, dict.fromkeys(broker.PORTS, 0), "")
        except StackError as error:
            yield error
    if not project.gateway.address:
        try:
            gateway.binary()
        except StackError as error:
            yield error


def _processes(project: Project, retired: Collection[str]) -> Iterator[StackError]:
    for name, process in project.processes.items():
        if not process.command or name in retired:
            continue
        assert process.directory is not None
        if not process.directory.is_dir():
            yield _missing(f"there is no folder {process.directory}", f"processes.{name}.directory")
            continue
        if flaw := _flaw_of_interpreter(process):
            yield flaw
            continue
        yield from _commands(process, {"command": process.command, "migrate": process.migrate})
    if project.loader and project.processes[project.loader.process].command:
        loading = project.processes[project.loader.process]
        if loading.directory is not None and loading.directory.is_dir() and not _flaw_of_interpreter(loading):
            yield from _commands(loading, {"": project.loader.command}, place="loader.command")


def _commands(process: Process, commands: dict[str, Sequence[str]], place: str = "") -> Iterator[StackError]:
    for key, command in commands.items():
        if command and _found(process, command[0]) is None:
            where = f"{process.python.parent}, or on the PATH" if process.python else "on the PATH"
            yield _missing(
                f"there is no program {command[0]} {'in ' if process.python else ''}{where}",
                place or f"processes.{process.name}.{key}",
                "install it there, or correct the command in strangler.toml",
            )


def _found(process: Process, program: str) -> str | None:
    """As the operating system will look for it: a name with a slash from the process's folder, others by its PATH."""
    assert process.directory is not None
    if os.sep in program:
        return shutil.which(str(process.directory / program))
    return shutil.which(program, path=search_path(process))


def _flaw_of_interpreter(process: Process) -> StackError | None:
    """A project's own interpreter has to be there, and the run-time library in its environment."""
    if process.python is None:
        return None
    place = f"processes.{process.name}: python"
    if not process.python.is_file() or not os.access(process.python, os.X_OK):
        return _missing(f"there is no interpreter {process.python}", place, "make the environment, or correct the path")
    if not _has_runtime(process.python):
        return _missing(
            f"the environment of {process.python} has no {RUNTIME}",
            place,
            f"install it from a clone of the kit: {process.python} -m pip install ./shared/{RUNTIME}",
        )
    return None


@cache
def _has_runtime(python: Path) -> bool:
    # Not from the folder of a project, which may hold a package of that name.
    asked = subprocess.run(
        [str(python), "-c", HAS_RUNTIME], cwd="/", capture_output=True, check=False, timeout=ASK_SECONDS
    )
    return asked.returncode == 0


def _missing(message: str, place: str, remedy: str = "correct it in strangler.toml") -> StackError:
    return StackError(message, place=place, remedy=remedy)
