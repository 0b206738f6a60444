"""Asks a Django project to describe itself, by its own manage.py and with its own interpreter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from strangler.domain.errors import ConfigurationError
from strangler.init.described import Described, read

COMMAND = "strangler_init"
ENVIRONMENTS = (".venv", "venv", "env", ".env")
TIMEOUT_SECONDS = 300
# Where the chassis is installed and not yet among INSTALLED_APPS.
SHELL = (
    "import pathlib; from chassis.management.commands import strangler_init as one; one.write(pathlib.Path({path!r}))"
)
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)
# As the chassis tells of URLs that cannot be imported.
_TOLD = re.compile(r"CommandError: (?P<place>\S+:\d+): (?P<error>.*)")
_NO_CHASSIS = re.compile(r"No module named '(chassis[\w.]*)'")


class NoChassisError(ConfigurationError):
    """The project's environment does not have the chassis."""

    id = "project-not-set-up"


def find_manage(folder: Path) -> Path:
    """The project's manage.py: in the folder, or in one folder of it.

    Raises:
        ConfigurationError: there is none, or there are several.
    """
    found = [folder / "manage.py"] if (folder / "manage.py").is_file() else sorted(folder.glob("*/manage.py"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigurationError(
            "there is no manage.py here, nor in a folder of it",
            place=str(folder),
            remedy="run it in the project's folder, or name the file by --manage; with --database URL the tables and "
            "foreign keys of a database are written, without routes",
            id="project-not-set-up",
        )
    raise ConfigurationError(
        f"there are several projects: {', '.join(str(each.relative_to(folder)) for each in found)}",
        place=str(folder),
        remedy="name one by --manage",
        id="project-not-set-up",
    )


def find_python(manage: Path, folder: Path) -> Path | None:
    """The interpreter of an environment that lies beside the project, or that is active; else None."""
    for base in dict.fromkeys((manage.parent, folder)):
        for name in ENVIRONMENTS:
            if (path := base / name / "bin" / "python").is_file():
                return path
    active = Path(os.environ.get("VIRTUAL_ENV", "")) / "bin" / "python"
    return active if active.is_file() else None


def ask(manage: Path, python: Path | None) -> Described:
    """The project's own description.

    Raises:
        NoChassisError: its environment does not have the chassis.
        ConfigurationError: it cannot be set up; with the place and the last line of its error.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "description.json"
        done = _run(manage, python, COMMAND, "--output", str(output))
        if "No Django settings specified" in done.stderr:
            raise ConfigurationError(
                "names no settings, and the environment does not either",
                place=str(manage),
                remedy="set DJANGO_SETTINGS_MODULE, as for `python manage.py check`",
                id="project-not-set-up",
            )
        if done.returncode and f"Unknown command: '{COMMAND}'" in done.stderr:
            done = _run(manage, python, "shell", "--command", SHELL.format(path=str(output)))
        if done.returncode or not output.is_file():
            raise _refusal(manage, done)
        described = read(json.loads(output.read_text(encoding="utf-8")), str(manage))
    return described


def _run(manage: Path, python: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    program = str(python or sys.executable)
    try:
        return subprocess.run(
            [program, manage.name, *words],
            cwd=manage.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise ConfigurationError(
            f"cannot be started: {error.strerror}",
            place=program,
            remedy="name the interpreter of the project's environment by --python",
            id="project-not-set-up",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(
            f"has not described the project within {TIMEOUT_SECONDS} s",
            place=f"{manage} {words[0]}",
            remedy="run it yourself and see what it waits for; then give the description by --from",
            id="project-not-set-up",
        ) from error


def _refusal(manage: Path, done: subprocess.CompletedProcess[str]) -> ConfigurationError:
    said = [line for line in done.stderr.strip().splitlines() if line.strip()]
    last = said[-1].strip() if said else f"it ended with exit code {done.returncode} and said nothing"
    if missing := _NO_CHASSIS.search(last):
        return NoChassisError(
            f"the project's environment has no {missing[1]}",
            place=str(manage),
            remedy="install the chassis there (docs/how-to/own-project.md), or name another environment by --python; "
            "with --database URL the tables and foreign keys of a database are written, without routes",
        )
    told = _TOLD.search(last)
    return ConfigurationError(
        f"the project cannot be set up: {told['error'] if told else last}",
        place=told["place"] if told else _place(done.stderr, manage),
        remedy="mend it, or set what its settings need, until `python manage.py check` is content; or name another "
        "environment by --python. With --database URL the tables and foreign keys of a database are written, without "
        "routes",
        id="project-not-set-up",
    )


def _place(said: str, manage: Path) -> str:
    """The last line of the project's own that the traceback names, else the last of all."""
    found = [(match["file"], match["line"]) for match in _FRAME.finditer(said)]
    frames = [(file, line) for file, line in found if not file.startswith("<")]
    base = manage.parent.resolve()
    own = [
        (file, line)
        for file, line in frames
        if base.joinpath(file).resolve().is_relative_to(base) and "site-packages" not in file
    ]
    inner = [one for one in own if Path(one[0]).name != manage.name] or own or frames
    if not inner:
        return str(manage)
    file, line = inner[-1]
    path = base.joinpath(file).resolve()
    return f"{path.relative_to(base) if path.is_relative_to(base) else file}:{line}"
