"""Writes a service whole or not at all: in a folder beside the target, which takes the target's place when Django is
content with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from strangler.domain.errors import ConfigurationError, MoveError, RefusedError

TIMEOUT_SECONDS = 300
MOST_LINES = 12
NOWHERE = "http://127.0.0.1:1"
# What settings ask of the environment while nothing but models is looked at; what is set already stays.
PLACEHOLDERS = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "BROKER_URL": "memory://",
    "GATEWAY_URL": NOWHERE,
    "INTERNAL_URL": NOWHERE,
}
PLACEHOLDER = "a-placeholder-while-migrations-are-written-00000000"
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".pytest_cache", ".mypy_cache", ".ruff_cache")


@contextmanager
def stage(target: Path) -> Iterator[Path]:
    """A folder beside the target, with what the target has; it is gone afterwards, unless `take_place` has moved it.

    What an earlier run has left behind, which was killed, is put right first.

    Raises:
        ConfigurationError: nothing can be written there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        recover(target)
        folder = target.with_name(f".{target.name}.extract-{os.getpid()}")
        if target.is_dir():
            shutil.copytree(target, folder, ignore=_IGNORED, symlinks=True)
        else:
            folder.mkdir()
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written beside it: {error.strerror}", place=str(target), remedy="name another folder by --to",
            id="file-unreadable",
        ) from error  # fmt: skip
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def recover(target: Path) -> None:
    """Puts right what a run that was killed has left: the old target comes back, and half a new one goes."""
    before = _before(target)
    if before.exists() and not target.exists():
        before.rename(target)
    elif before.exists():
        shutil.rmtree(before)
    for folder in target.parent.glob(f".{target.name}.extract-*"):
        number = folder.name.rpartition("-")[2]
        if number.isdigit() and not _lives(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _before(target: Path) -> Path:
    return target.with_name(f".{target.name}.before-extract")


def _lives(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def take_place(folder: Path, target: Path) -> None:
    """Puts the folder in the target's place."""
    before = _before(target)
    if target.is_dir() and any(target.iterdir()):
        target.rename(before)
    elif target.is_dir():
        target.rmdir()
    folder.rename(target)
    shutil.rmtree(before, ignore_errors=True)


def write(folder: Path, files: Mapping[PurePosixPath, str], removed: Sequence[PurePosixPath] = ()) -> None:
    """Writes and removes files below the folder.

    Raises:
        RefusedError: a path leads out of it.
    """
    for path, text in files.items():
        _within(folder, path)
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        if text.startswith("#!"):
            file.chmod(file.stat().st_mode | 0o111)
    for path in removed:
        with suppress(FileNotFoundError):
            (folder / path).unlink()


def copy(folder: Path, files: Mapping[PurePosixPath, Path]) -> None:
    """Copies files of the project, which no text holds, to their place below the folder.

    Raises:
        RefusedError: a path leads out of it.
    """
    for path, source in files.items():
        _within(folder, path)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / path)


def _within(folder: Path, path: PurePosixPath) -> None:
    if path.is_absolute() or ".." in path.parts:
        raise RefusedError(f"would be written outside of the service: {path}", place=str(folder))


class Django:
    """The service's manage.py, run in the project's environment. No database is asked."""

    def __init__(self, folder: Path, python: Path, *, root: Path, variables: Sequence[str]) -> None:
        self.folder = folder
        self.python = python
        self.environment = _environment(root, variables)

    def make_migrations(self, labels: Sequence[str]) -> None:
        """Lets Django check the service, as `manage.py check` does, and then write what makes the tables from nothing,
        or what has changed in them. Without ``labels`` it only checks: packages bring their migrations.

        Raises:
            MoveError: it is not content, or cannot.
        """
        if labels:
            self._run("makemigrations", "--noinput", *labels)
        else:
            self._run("check")

    def _run(self, *words: str) -> None:
        try:
            done = subprocess.run(
                [str(self.python), "manage.py", *words],
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT_SECONDS,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MoveError(
                f"manage.py {words[0]} of the new service did not end: {error}",
                place=str(self.python),
                remedy="name the interpreter of the project's environment by --python",
                id="extract-failed",
            ) from error
        if done.returncode:
            raise MoveError(
                f"manage.py {words[0]} of the new service failed; nothing was written:\n{self._said(done.stderr)}",
                place=self._place(done.stderr),
                remedy="mend its cause in the project, or see the draft with --unchecked, which writes it all the same",
                id="extract-failed",
            )

    def _said(self, text: str) -> str:
        lines = [line for line in text.replace(str(self.folder), "").splitlines() if line.strip()]
        return "\n".join(f"    {line}" for line in lines[-MOST_LINES:])

    def _place(self, text: str) -> str:
        found = re.findall(rf'File "{re.escape(str(self.folder))}/([^"]+)", line (\d+)', text)
        return ":".join(found[-1]) if found else self.folder.name


def _environment(root: Path, variables: Sequence[str]) -> dict[str, str]:
    """This one, without what belongs to the project's own settings and folder."""
    known = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    paths = [
        one for one in known.get("PYTHONPATH", "").split(os.pathsep) if one and Path(one).resolve() != root.resolve()
    ]
    known.pop("PYTHONPATH", None)
    if paths:
        known["PYTHONPATH"] = os.pathsep.join(paths)
    known["PYTHONDONTWRITEBYTECODE"] = "1"
    for name in ("SECRET_KEY", *PLACEHOLDERS, *variables):
        if not known.get(name) and not known.get(f"{name}_FILE"):
            known[name] = PLACEHOLDERS.get(name, NOWHERE if name.endswith("_URL") else PLACEHOLDER)
    return known
