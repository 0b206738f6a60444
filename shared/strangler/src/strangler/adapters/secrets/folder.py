"""Secrets as files: one folder per Secret, one file per key, as a cluster mounts them; and one folder per container
that needs some.

Note "who can read them": everybody who can see the folder. Databases, broker and applications each run under a uid of
their own and have to read their own secrets. Others cannot read them, because each of these containers mounts only its
own folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from strangler.domain.credentials import Credential
from strangler.domain.errors import ConfigurationError


def write(folder: Path, credentials: Iterable[Credential]) -> Iterator[str]:
    """Makes the files that are not there yet and tells each; existing files stay, and the new ones are made to fit
    them.

    If several processes write at once, the first to write a key decides.

    Raises:
        ConfigurationError: the folder cannot be read or written.
    """
    before = os.umask(0o022)
    try:
        for credential in credentials:
            yield from _write(folder / credential.name, credential)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error}", place=str(folder), remedy="see that it is mounted, and whose it is"
        ) from error
    finally:
        os.umask(before)


def hand_out(folder: Path, files: Mapping[str, str], withdrawn: Iterable[str] = ()) -> None:
    """Writes ``files``, by path below ``folder``: existing files are brought up to date, ``withdrawn`` files are
    removed, and nothing else is touched.

    Raises:
        ConfigurationError: the folder cannot be read or written.
    """
    before = os.umask(0o022)
    try:
        for name, value in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text(encoding="utf-8") != value:
                _replace(path, value)
        for name in withdrawn:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror}", place=str(folder), remedy="see that it is mounted, and whose it is"
        ) from error
    finally:
        os.umask(before)


def read(folder: Path, credential: Credential) -> dict[str, str]:
    """The values of a credential that has been written."""
    return {key: (folder / credential.name / key).read_text(encoding="utf-8").strip() for key in credential.keys}


def _replace(path: Path, value: str) -> None:
    path.unlink(missing_ok=True)
    _create(path, value)


def _write(folder: Path, credential: Credential) -> Iterator[str]:
    folder.mkdir(parents=True, exist_ok=True)
    known: dict[str, str] = {}
    for key, value in credential.keys.items():
        path = folder / key
        if not path.exists() and _create(path, value(known)):
            yield f"{credential.name}/{key}"
        known[key] = path.read_text(encoding="utf-8").strip()


def _create(path: Path, value: str) -> bool:
    """Makes a file, which appears whole or not at all, and never replaces another."""
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(value)
            stream.flush()
            os.fchmod(stream.fileno(), 0o444)
            os.fsync(stream.fileno())
        os.link(fresh, path)
    except FileExistsError:
        return False
    finally:
        Path(fresh).unlink()
    return True
