"""A server of a move is lost. Its synchronous standby takes its place, at the same address and without its slots."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from servers import PASSWORD, QUICK, Cluster, Connection, eventually
from strangler.application.resync import resync
from strangler.application.watch import patrol
from strangler.domain.errors import RefusedError
from strangler.stack import ports
from strangler.stack.postgres import Server, binary
from yard import SIDES, Yard, contents, yard

GHOST = "INSERT INTO visit (took) VALUES ('99 days')"
ACKNOWLEDGED = "INSERT INTO visit (took) VALUES ('7 days')"

CONFIRMED = "SELECT 1 FROM pg_replication_slots WHERE confirmed_flush_lsn >= %s AND slot_name ~ %s"


class Pair:
    """A primary and a standby that each commit waits for; `fail_over` kills the one and promotes the other."""

    def __init__(self, name: str, folder: Path) -> None:
        assigned = ports.assign([name, "standby"], {}, folder / f"{name}.json")
        self._folder, self._port, self._other = folder, assigned[name], assigned["standby"]
        self._server = Server(name, folder, self._port, PASSWORD)
        self._server.create()
        self._log = folder / f"{name}.log"
        self._data = folder / "postgres" / name
        self._copy = folder / "postgres" / f"{name}.standby"
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{key} = '{value}'\n" for key, value in QUICK.items())
        # The words with which the stack runs a server as an ordinary user.
        self._words = self._server.program().command[:-2]
        self._primary = self._run(self._data, self._port)
        self._standby: subprocess.Popen[bytes] | None = None
        self.cluster = Cluster(self._server, self._log)
        eventually(self._server.program().ready)

    def copy(self) -> None:
        """Makes the standby; from here on a commit waits for it."""
        address = conninfo_to_dict(self.cluster.dsn("postgres"))
        self._do(
            "pg_basebackup", f"--pgdata={self._copy}", "--write-recovery-conf", "--checkpoint=fast", address=address
        )
        self._standby = self._run(self._copy, self._other)
        with self.cluster.connect() as connection:
            eventually(lambda: connection.execute("SELECT 1 FROM pg_stat_replication").fetchone())
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            eventually(
                lambda: connection.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone()
            )

    def cut(self) -> None:
        """The standby hears no more of the primary."""
        with self._at_the_standby() as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
            eventually(lambda: not connection.execute("SELECT 1 FROM pg_stat_wal_receiver").fetchone())

    def fail_over(self) -> None:
        """The primary dies; the standby is promoted, and answers at its address."""
        assert self._standby is not None
        os.killpg(self._primary.pid, signal.SIGKILL)
        self._primary.wait(30)
        with self._at_the_standby() as connection:
            connection.execute("SELECT pg_promote()")
        self._end(self._standby)
        self._standby, self._primary = None, self._run(self._copy, self._port)
        eventually(self._server.program().ready)

    def end(self) -> None:
        for process in (self._standby, self._primary):
            if process is not None:
                self._end(process)

    @contextmanager
    def _at_the_standby(self) -> Iterator[Connection]:
        with psycopg.connect(self.cluster.dsn("postgres"), port=self._other, autocommit=True) as connection:
            yield connection

    def _run(self, data: Path, port: int) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*self._words, "-D", str(data), "-p", str(port)],
                cwd=data,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _do(self, program: str, *arguments: str, address: Mapping[str, object]) -> None:
        words = [*self._words[:-1], str(binary(program)), *arguments]
        environment = os.environ | {f"PG{key.upper()}": str(value) for key, value in address.items() if key != "dbname"}
        subprocess.run(words, cwd=self._folder, env=environment, check=True, capture_output=True)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(30)


@pytest.fixture
def pairs(tmp_path: Path) -> Iterator[tuple[Pair, Pair]]:
    with ExitStack() as ending:
        made = []
        for name in ("one", "two"):
            made.append(Pair(name, tmp_path))
            ending.callback(made[-1].end)
        yield made[0], made[1]


def patrolled(made: Yard) -> None:
    with made.working() as parts:
        patrol(parts, lambda *_: None)


def _give_to(made: Yard, owner: str) -> None:
    made.start()
    made.verify()
    if owner == "service":
        made.switch()
        made.verify()


@pytest.mark.exhaustive(2)
@pytest.mark.parametrize("owner", SIDES)
def test_after_a_failover_of_the_owner_resync_brings_the_copy_to_what_the_standby_has(
    pairs: tuple[Pair, Pair], owner: str, tmp_path: Path
) -> None:
    failing = pairs[SIDES.index(owner)]
    with yard((pairs[0].cluster, pairs[1].cluster), tmp_path) as made:
        _give_to(made, owner)
        failing.copy()
        with made.side(owner) as here:
            here.execute(ACKNOWLEDGED)
        made.catch_up(owner)
        _write_what_only_the_other_side_hears_of(made, owner, failing)

        failing.fail_over()

        patrolled(made)
        verb = "switch" if owner == "monolith" else "reverse"
        assert "run `strangler resync crates`" in {each.hint for each in made.doctor()}
        with pytest.raises(RefusedError):
            made.switch(verb)
        with made.working() as parts:
            resync(parts, progress=lambda *_: None)
        with made.monolith() as one, made.service() as two:
            assert contents(one) == contents(two)
            for connection in (one, two):
                assert _visits(connection, "7 days") == 1, "acknowledged"
                assert _visits(connection, "99 days") == 0, "never acknowledged, and not on the standby"
        assert made.verify().differing == 0
        made.switch(verb)
        with made.side(SIDES[1 - SIDES.index(owner)]) as here:
            here.execute(ACKNOWLEDGED)
        made.catch_up(SIDES[1 - SIDES.index(owner)])
        with made.monolith() as one, made.service() as two:
            assert contents(one) == contents(two)


@pytest.mark.exhaustive(2)
@pytest.mark.parametrize("owner", SIDES)
def test_what_the_standby_of_a_copy_never_got_is_found_out_before_a_switch(
    pairs: tuple[Pair, Pair], owner: str, tmp_path: Path
) -> None:
    other = SIDES[1 - SIDES.index(owner)]
    failing = pairs[SIDES.index(other)]
    with yard((pairs[0].cluster, pairs[1].cluster), tmp_path) as made:
        _give_to(made, owner)
        failing.copy()
        patrolled(made)
        failing.cut()
        with made.side(owner) as here:
            here.execute(ACKNOWLEDGED)
            position = here.execute("SELECT pg_current_wal_lsn()").fetchone()
            assert position is not None
            written = (position[0], "forward" if owner == "monolith" else "reverse")
            eventually(lambda: here.execute(CONFIRMED, written).fetchone())

        failing.fail_over()

        with made.side(other) as there:
            assert _visits(there, "7 days") == 0, "the slot has been told that it is there, so no stream brings it"
        patrolled(made)
        verb = "switch" if owner == "monolith" else "reverse"
        with pytest.raises(RefusedError, match="is gone"):
            made.switch(verb)
        with made.working() as parts:
            resync(parts, progress=lambda *_: None)
        assert made.verify(repair=True).repaired == 1
        made.switch(verb)
        with made.monolith() as one, made.service() as two:
            assert contents(one) == contents(two)
            assert _visits(one, "7 days") == 1


def _write_what_only_the_other_side_hears_of(made: Yard, owner: str, failing: Pair) -> None:
    """A commit that the standby never gets: its client waits for ever, but the stream does not."""
    failing.cut()
    waiting = made.side(owner)

    def write() -> None:
        with suppress(psycopg.Error):
            waiting.execute(GHOST)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    with made.side(SIDES[1 - SIDES.index(owner)]) as there:
        eventually(lambda: _visits(there, "99 days") == 1)
    assert thread.is_alive(), "it is not acknowledged"


def _visits(connection: Connection, took: str) -> int:
    found = connection.execute("SELECT count(*) FROM visit WHERE took = %s", (took,)).fetchone()
    assert found is not None
    return int(found[0])
