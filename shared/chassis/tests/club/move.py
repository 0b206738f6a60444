"""A real move of the club's bookings: two databases, the tool, and a process on each side."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
from library.programs import MIGRATE, WEB, Running, run
from server_node import ServerNode
from strangler import configuration
from strangler.adapters import toml
from strangler.application import gates
from strangler.application.ending import cancel, complete
from strangler.application.sides import Parts
from strangler.application.start import Started, start
from strangler.application.switch import switch
from strangler.application.verify import verify
from strangler.domain.project import Endpoints

DATABASES = ("club_monolith", "club_service", "club_people")
MOVED = (
    *("club_booking", "club_booking_guests", "club_hour", "club_remark", "club_review", "club_swipe", "club_debt"),
    *("club_deposit", "club_label", "club_diary"),
)
FILE = f"""
[project]
name = "club"
ledger = "monolith"
monolith = "monolith"

[databases.monolith]
url = "postgresql:///club_monolith"

[databases.desk]
url = "postgresql:///club_service"

[processes.monolith]
address = "http://monolith"

[processes.desk]
address = "http://desk"

[capabilities.desk]
tables = [{", ".join(f'"{table}"' for table in MOVED)}]
process = "desk"
database = "desk"
routes = ["* /bookings/*"]

[stays]
tables = ["*"]
"""
# What bookings point at can move, too.
PEOPLE = """
[databases.people]
url = "postgresql:///club_people"

[processes.people]
address = "http://people"

[capabilities.people]
tables = ["club_person", "club_member", "club_card"]
process = "people"
database = "people"
routes = ["DELETE /people/{pk}"]
""" + "".join(
    f'[[capabilities.people.references]]\ntable = "club_{table}"\ncolumn = "{column}"\n'
    for table, column in (
        *((name, "person_id") for name in ("booking", "booking_guests", "remark", "review", "debt", "deposit")),
        ("swipe", "badge_id"),
    )
)
# The service has no people, so its foreign keys to them are numbers.
LOOSE = f"""
DO $$ DECLARE k record; BEGIN
    FOR k IN SELECT conname, conrelid::regclass t FROM pg_constraint
             WHERE contype = 'f' AND confrelid = 'club_person'::regclass
             AND conrelid::regclass::text = ANY ('{{{",".join(MOVED)}}}') LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', k.t, k.conname);
    END LOOP;
END $$
"""
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER DELETE ON club_person DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION slow();
"""
THE_MONOLITH_S = "datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
PURGE = (sys.executable, "-m", "django", "purge")


class Club:
    """``monolith`` and ``service`` are sessions in the two databases, committed at once."""

    def __init__(self, urls: tuple[str, str, str], folder: Path) -> None:
        self.folder = folder
        self.urls = urls
        file = folder / "strangler.toml"
        file.write_text(FILE)
        self.project = toml.load(file)
        self.monolith, self.service, self.people_service = (psycopg.connect(url, autocommit=True) for url in urls)
        self.web: dict[str, Running] = {}
        self.is_away = False
        self.exits = ExitStack()

    def serve(self, side: str, **environment: str) -> None:
        """Starts the web process of one side."""
        url = self.urls[("monolith", "service", "people").index(side)]
        command, log = WEB, self.folder / f"{side}.log"
        settings = {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "clubhouse", **environment}
        self.web[side] = self.exits.enter_context(Running(command, log, **settings))

    @contextmanager
    def people_move(self) -> Iterator[None]:
        """The people are a capability, too, inside; their service has begun."""
        before = self.project
        file = self.folder / "both.toml"
        file.write_text(FILE + PEOPLE)
        self.project = toml.load(file)
        self.people_service.execute("TRUNCATE club_person, club_member, club_card CASCADE")
        self.serve("people")
        try:
            self.start("people")
            self.verify("people")
            yield
            with self.working("people") as parts:
                cancel(parts)
        finally:
            self.project = before

    @contextmanager
    def without_service(self) -> Iterator[None]:
        """The service is at no address that anybody knows, inside."""
        self.is_away = True
        self.follow()
        try:
            yield
        finally:
            self.is_away = False
            self.follow()

    @contextmanager
    def working(self, capability: str = "desk") -> Iterator[Parts]:
        addresses = {
            "monolith": f"http://127.0.0.1:{self.web['monolith'].port}",
            "desk": f"http://127.0.0.1:{1 if self.is_away else self.web['service'].port}",
        }
        if "people" in self.web:
            addresses["people"] = f"http://127.0.0.1:{self.web['people'].port}"
        databases = dict(zip(("monolith", "desk", "people"), self.urls, strict=True))
        endpoints = Endpoints("http://gateway", "http://gateway", "", databases, addresses)
        parts = configuration.parts_of(self.project, endpoints, capability)
        try:
            yield parts
        finally:
            parts.close()

    def start(self, capability: str = "desk") -> Started:
        with self.working(capability) as parts:
            return start(parts, progress=lambda *_: None, boundary=lambda _: None)

    def verify(self, capability: str = "desk") -> None:
        with self.working(capability) as parts:
            verify(parts, repair=False, progress=lambda *_: None)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """No row comes from the service inside."""
        row = self.monolith.execute(
            "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid "
            "AND d.datname = current_database()"
        ).fetchone()
        assert row is not None
        self.monolith.execute(f"ALTER SUBSCRIPTION {row[0]} DISABLE".encode())
        try:
            yield
        finally:
            self.monolith.execute(f"ALTER SUBSCRIPTION {row[0]} ENABLE".encode())

    def kill_monolith(self) -> None:
        """Kills the process that serves the monolith's requests; gunicorn starts another one."""
        pid = self.web["monolith"].process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)

    def end_sessions(self) -> None:
        """Ends what the monolith's process has open in its database, as a server does that is stopped."""
        self.monolith.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE xact_start IS NOT NULL "
            f"AND {THE_MONOLITH_S}".encode()
        )

    def awaits(self, table: str) -> bool:
        """Whether the monolith looks into the copy of the table, until the stream has taken rows away."""
        return self._shown(f"state LIKE 'idle%' AND query LIKE '%\"{table}\"%LIMIT 1'")

    def is_in_transaction(self) -> bool:
        """Whether the monolith's process has a transaction open, or its server still does what it left behind."""
        return self._shown("xact_start IS NOT NULL")

    @contextmanager
    def slow_commit(self) -> Iterator[Callable[[], bool]]:
        """A COMMIT that deletes a person takes until the end; inside it can be asked whether there is one."""
        self.monolith.execute(SLOW.encode())
        self.monolith.execute("SELECT pg_advisory_lock(1)")
        try:
            yield lambda: self._shown("query = 'COMMIT' AND wait_event = 'advisory'")
        finally:
            self.monolith.execute("SELECT pg_advisory_unlock(1)")
            self.monolith.execute("DROP FUNCTION slow() CASCADE")

    def _shown(self, where: str) -> bool:
        found = self.monolith.execute(f"SELECT 1 FROM pg_stat_activity WHERE {THE_MONOLITH_S} AND {where}".encode())
        return found.fetchone() is not None

    def switch(self, verb: str = "switch", capability: str = "desk") -> None:
        with self.working(capability) as parts:
            self._route(parts)
            switch(parts, verb, ready=lambda _: None, timeout=30, boundary=lambda _: None)

    def gate(self, capability: str = "desk") -> gates.Gate:
        with self.working(capability) as parts:
            self._route(parts)
            move = parts.ledger.move(capability)
            assert move is not None
            return next(gate for gate in gates.measure(parts, move, lambda _: None) if gate.name == "deletions")

    def follow(self) -> None:
        """Does what `strangler serve` does where a process has got another address."""
        with self.working() as parts:
            parts.replication.readdress()

    def complete(self, *, drop: bool) -> None:
        with self.working() as parts:
            complete(parts, drop=drop, unused_for=0, unread_for=0)

    def catch_up(self, frm: str) -> None:
        with self.working() as parts:
            assert parts.replication.catch_up(frm, within=60)

    @staticmethod
    def _route(parts: Parts) -> None:
        ledger: Any = parts.ledger
        ledger.agent_seen("test", {"desk": 10**6, "people": 10**6})
        ledger.connection.execute("UPDATE strangler.gateway SET seen_at = clock_timestamp() + interval '1 hour'")

    def person(self, pk: int, name: str = "somebody") -> int:
        self.monolith.execute(
            "INSERT INTO club_person (id, name, badge) VALUES (%s, %s, %s)", (pk, name, f"badge {pk}")
        )
        self.monolith.execute("INSERT INTO club_card (person_id) VALUES (%s)", (pk,))
        return pk

    def at_owner(self, statement: str, *values: Any) -> Any:
        """Writes as the owner of the bookings, and waits until that has arrived; returns the first value."""
        row = self.service.execute(statement.encode(), values).fetchone()
        self.catch_up("service")
        return row[0] if row else None

    def booked(self, pk: int, *, guest: int | None = None) -> int:
        """A booking of this person with two hours."""
        number: int = self.at_owner("INSERT INTO club_booking (person_id) VALUES (%s) RETURNING id", pk)
        self.at_owner("INSERT INTO club_hour (booking_id) VALUES (%s), (%s) RETURNING id", number, number)
        if guest is not None:
            self.at_owner(
                "INSERT INTO club_booking_guests (booking_id, person_id) VALUES (%s, %s) RETURNING id", number, guest
            )
        return number

    def delete(self, path: str) -> httpx.Response:
        return httpx.delete(f"http://127.0.0.1:{self.web['monolith'].port}{path}", timeout=60)

    def people(self) -> set[int]:
        return {row[0] for row in self.monolith.execute("SELECT id FROM club_person WHERE id > 1").fetchall()}

    def count(self, table: str, where: str = "true") -> tuple[int, int]:
        """How many rows there are at the monolith, and at the service; -1 where there is no table."""
        return _count(self.monolith, table, where), _count(self.service, table, where)

    def close(self) -> None:
        self.exits.close()
        for session in (self.monolith, self.service, self.people_service):
            session.close()


def _count(session: Any, table: str, where: str) -> int:
    if session.execute("SELECT to_regclass(%s)", (table,)).fetchone()[0] is None:
        return -1
    return int(session.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0])


@contextmanager
def club(server: ServerNode, folder: Path) -> Iterator[Club]:
    """The club before its move, with a process on each side."""
    base = server.url.rpartition("/")[0]
    monolith, *others = DATABASES
    with psycopg.connect(f"{base}/postgres", autocommit=True) as session:
        session.execute(f"CREATE DATABASE {monolith}".encode())
        run(MIGRATE, DATABASE_URL=f"{base}/{monolith}", DJANGO_SETTINGS_MODULE="clubhouse")
        for other in others:
            session.execute(f"CREATE DATABASE {other} TEMPLATE {monolith}".encode())
    made = Club((f"{base}/{DATABASES[0]}", f"{base}/{DATABASES[1]}", f"{base}/{DATABASES[2]}"), folder)
    made.service.execute(LOOSE.encode())
    made.monolith.execute("INSERT INTO club_person (id, name) VALUES (1, 'nobody')")
    try:
        made.serve("monolith")
        made.serve("service")
        for process in made.web.values():
            process.get("/healthz")
        yield made
    finally:
        made.close()
