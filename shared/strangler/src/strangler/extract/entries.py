"""What strangler.toml lacks of the service: a database, processes, secrets. They are added; no line is changed."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from strangler.adapters import toml
from strangler.domain.errors import ConfigurationError
from strangler.domain.project import Project

_SECRETS = re.compile(r"^[ \t]*\[[ \t]*secrets[ \t]*\][^\n]*$", re.MULTILINE)
_APPLICATION = re.compile(r"([\w.]+)\.[wa]sgi:")


@dataclass(frozen=True, slots=True)
class Completed:
    """The file's new text, and what was added; ``elsewhere`` is the folder that it names for the service, if it is not
    the one that was written, and ``starts`` the package that it starts there, if the service has another."""

    text: str
    added: tuple[str, ...]
    elsewhere: str = ""
    starts: str = ""


@dataclass(frozen=True, slots=True)
class Programs:
    """What the service has besides its web process, how that is served, and which secrets it reads."""

    package: str
    asgi: bool = False
    worker: bool = False
    schedule: bool = False
    outbox: bool = False
    secrets: tuple[str, ...] = ()


def complete(path: Path, capability: str, target: Path, programs: Programs) -> Completed:
    """What is missing for the capability's service.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot be read: {error.strerror if isinstance(error, OSError) else error}", place=str(path),
            remedy="run the command in the project's folder, or let `strangler init` write the file",
            id="file-unreadable",
        ) from error  # fmt: skip
    return _completed(text, path, capability, target, programs)


def _parsed(text: str, path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ConfigurationError(
            f"is not TOML: {error}", place=path.name, remedy="mend the file at that line", id="file-unreadable"
        ) from error


def _completed(text: str, path: Path, capability: str, target: Path, programs: Programs) -> Completed:
    content = _parsed(text, path)
    own = _table(_table(content, "capabilities"), capability)
    if not own:
        return Completed(text, ())
    database, process = str(own.get("database", capability)), str(own.get("process", capability))
    folder = Path(os.path.relpath(target, path.parent)).as_posix()
    blocks: dict[str, list[str]] = {}
    more: tuple[str, ...] = ()
    if database not in _table(content, "databases"):
        outbox = ['outbox = "chassis_outbox"'] if programs.outbox else []
        blocks[f"databases.{database}"] = [
            "embedded = true",
            f'url_env = "{_variable(database)}_DATABASE_URL"',
            *outbox,
        ]
    processes = _table(content, "processes")
    if process not in processes:
        blocks[f"processes.{process}"] = [*_web(folder, database, process, programs)]
    running = [one for one in processes.values() if isinstance(one, dict) and one.get("database") == database]
    if programs.worker and not any("celery" in one.get("command", ()) for one in running):
        blocks[f"processes.{process}-worker"] = [*_worker(folder, database, process, programs)]
    if programs.outbox and not any("relay" in one.get("command", ()) for one in running):
        command = ["python", "manage.py", "relay"]
        blocks[f"processes.{process}-relay"] = [
            f"directory = {_quoted(folder)}", f"command = {json.dumps(command)}", f'database = "{database}"'
        ]  # fmt: skip
    said = str(_table(processes, process).get("directory", folder))
    same = (path.parent / said).resolve() == target.resolve()
    elsewhere = "" if same else said
    words = " ".join(str(word) for word in _table(processes, process).get("command", ()))
    named = _APPLICATION.findall(words)
    starts = next((one for one in named if one != programs.package), "")
    secrets = [
        f"{name} = {_secret(name, database)}" for name in programs.secrets if name not in _table(content, "secrets")
    ]
    if secrets and "secrets" not in content:
        blocks["secrets"] = secrets
    elif secrets and _SECRETS.search(text):
        text = _SECRETS.sub(lambda match: "\n".join([match[0], *secrets]), text, count=1)
        more = ("secrets",)
    if not blocks:
        return Completed(text, more, elsewhere, starts)
    added = "".join(f"\n[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in blocks.items())
    end = "" if text.endswith("\n") else "\n"
    return Completed(f"{text}{end}{added}", (*blocks, *more), elsewhere, starts)


@contextmanager
def accepted(path: Path, completed: Completed) -> Iterator[None]:
    """Writes the file after what is done within, if the tool accepts it, which is looked at before.

    Raises:
        ConfigurationError: it does not; nothing was changed, and nothing within was done.
    """
    if not completed.added:
        yield
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _loaded(path, completed.text)
        _write(fresh, completed.text)
        yield
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def load(path: Path, capability: str, target: Path) -> Project:
    """The project; where the file does not have the service's processes yet, as if it had them.

    Raises:
        ConfigurationError: the file cannot be used.
    """
    return replace(_loaded(path, complete(path, capability, target, Programs("config")).text), path=path)


def _loaded(path: Path, text: str) -> Project:
    """The project of a text that could stand in the file; other capabilities may lack their services, too."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        for name in _table(_parsed(text, path), "capabilities"):
            text = _completed(text, path, name, path.parent / "services" / name, Programs("config")).text
        _write(fresh, text)
        return toml.load(fresh, addresses=False)
    except ConfigurationError as error:
        error.place = error.place.replace(fresh.name, path.name)
        raise
    finally:
        fresh.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror}", place=str(path), remedy="run it where you may write",
            id="file-unreadable",
        ) from error  # fmt: skip


def _table(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _web(folder: str, database: str, process: str, programs: Programs) -> Iterator[str]:
    yield f"directory = {_quoted(folder)}"
    if programs.asgi:
        command = ["sh", "-c", f"exec uvicorn {programs.package}.asgi:application --host 127.0.0.1 --port $PORT"]
    else:
        command = ["gunicorn", f"{programs.package}.wsgi:application", "--config", "python:chassis.servers.gunicorn"]
    yield f"command = {json.dumps(command)}"
    yield f'database = "{database}"'
    yield "http = true"
    yield f'address_env = "{_variable(process)}_URL"'
    yield 'migrate = ["python", "manage.py", "migrate", "--noinput"]'


def _secret(name: str, database: str) -> str:
    """Each service has keys of its own; by IDENTITY_SECRET it asks the monolith, which has to have it, too."""
    if name == "SECRET_KEY":
        return f'{{ kind = "text", for = [{_quoted(database)}] }}'
    return '"ed25519-each"' if name == "SERVICE_KEY_FILE" else '"text"'


def _worker(folder: str, database: str, process: str, programs: Programs) -> Iterator[str]:
    beat = ["--beat"] if programs.schedule else []
    quiet = ["--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    pool = ["--pool", "threads", "--concurrency", "2"]
    command = ["celery", "--app", programs.package, "worker", "--hostname", f"{process}@%h", *quiet, *beat, *pool]
    yield f"directory = {_quoted(folder)}"
    yield f"command = {json.dumps(command)}"
    yield f'database = "{database}"'


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
