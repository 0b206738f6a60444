"""Secrets as files: a folder each, a file a key, as a cluster mounts them; and a folder for each who needs some.

Note "who can read them": everybody who can see the folder. Databases, broker and applications each run under a uid of
their own and have to read their own; what keeps others out is that each of these containers mounts its folder alone.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from strangler.domain.credentials import Credential
from strangler.domain.errors import ConfigurationError


def write(folder: Path, credentials: Iterable[Credential]) -> Iterator[str]:
    """Makes what is not there yet and tells each; what is there stays, and the rest is made to fit it.

    Of several that write at once the first to write a key decides.

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
    """Writes ``files``, by path below ``folder``: what is there becomes what it is to be, ``withdrawn`` goes, and
    nothing else is touched.

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
    """The file appears whole or not at all, and never in place of another."""
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
