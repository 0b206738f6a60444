"""Runs a project's tests with the recording of the chassis, and joins what each of their processes has written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from strangler.domain.errors import ConfigurationError
from strangler.init import asking

MODULE = "chassis.testing.recording"
VARIABLE = "STRANGLER_RECORDING"
PYTHON = re.compile(r"python[\d.]*")
# Options of the interpreter that have a value of their own.
VALUED = ("-W", "-X")
REMEDY = (
    "name Python itself, as in `-- manage.py test` or `-- python -m pytest`, in an environment that has the chassis "
    "(docs/how-to/own-project.md); the tests have to use Django's test client or REST framework's"
)


def run(words: Sequence[str], path: Path, *, python: Path | None = None) -> tuple[int, int]:
    """Runs the command and writes the recording to ``path``. Its exit code, and the number of requests.

    Raises:
        ConfigurationError: it cannot be started, or has recorded nothing; ``path`` is then not written.
    """
    for stale in _parts(path):
        stale.unlink()
    try:
        code = subprocess.run(command(words, python), env=environment(os.environ, path), check=False).returncode
    except OSError as error:
        raise ConfigurationError(
            f"cannot be started: {error.strerror}", place=words[0], remedy=REMEDY, id="traffic-source"
        ) from error
    finally:
        parts = [(part, part.read_text(encoding="utf-8")) for part in _parts(path)]
        for part, _ in parts:
            part.unlink()
    lines = [line for _, text in parts for line in text.splitlines(keepends=True)]
    requests = [line for line in lines if '"kind": "request"' in line]
    if not requests:
        raise ConfigurationError(
            f"no request was recorded (it ended with exit code {code})",
            place=" ".join(words), remedy=REMEDY, id="traffic-source",
        )  # fmt: skip
    projects = [line for line in lines if line not in set(requests)]
    path.write_text("".join([*projects[:1], *requests]), encoding="utf-8")
    return code, len(requests)


def command(words: Sequence[str], python: Path | None = None) -> list[str]:
    """The command, as it is run with the recording: Python gets it as its module, pytest as a plugin."""
    first = Path(words[0])
    if first.suffix == ".py":
        found = python or asking.find_python(first.resolve(), Path.cwd()) or Path(sys.executable)
        return [str(found.absolute()), "-m", MODULE, *words]
    if PYTHON.fullmatch(first.name):
        at = 1
        while at < len(words) and words[at].startswith("-") and words[at] != "-m":
            at += 2 if words[at] in VALUED else 1
        return [*words[:at], "-m", MODULE, *words[at:]]
    return list(words)


def environment(given: Mapping[str, str], path: Path) -> dict[str, str]:
    """The environment of the command."""
    plugins = f"{given.get('PYTEST_ADDOPTS', '')} -p {MODULE}".strip()
    return {**given, VARIABLE: str(path.absolute()), "PYTEST_ADDOPTS": plugins}


def _parts(path: Path) -> list[Path]:
    return sorted(each for each in path.parent.glob(f"{path.name}.*") if each.suffix[1:].isdigit())
