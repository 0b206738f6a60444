"""The tool neither finds, calls nor believes anything that a role without special rights can make."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
from servers import Cluster, Connection
from strangler.adapters.postgres.schema import installing
from strangler.adapters.postgres.session.connection import connect
from strangler.application.ending import cancel
from strangler.domain.errors import PreflightError
from test_verifying import spoil
from yard import SIDES, Yard, footprint, grant_all, refused

# In a session that finds these, each matches the tool's call better than the function of pg_catalog.
TRAPS = """
CREATE TABLE public.yard_caught (what text, who text);
GRANT INSERT ON public.yard_caught TO PUBLIC;
CREATE FUNCTION public.spring(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.yard_caught VALUES (what, current_user);
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN ALTER ROLE clerk SUPERUSER; END IF;
END $$;
CREATE FUNCTION public.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN PERFORM public.spring('unnest'); RETURN QUERY SELECT pg_catalog.unnest($1); END $$;
CREATE FUNCTION public.format(text, text, text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN PERFORM public.spring('format'); RETURN pg_catalog.format($1, $2, $3); END $$;
CREATE FUNCTION public.format(text, text, bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN PERFORM public.spring('format'); RETURN pg_catalog.format($1, $2, $3); END $$;
CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN PERFORM public.spring('hash'); RETURN pg_catalog.hashtextextended($1, $2::bigint); END $$;
CREATE FUNCTION public.mod(bigint, integer) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN PERFORM public.spring('mod'); RETURN pg_catalog.mod($1, $2::bigint); END $$;
CREATE FUNCTION public.to_regclass(varchar) RETURNS regclass LANGUAGE plpgsql AS $$
BEGIN PERFORM public.spring('to_regclass'); RETURN pg_catalog.to_regclass($1::text); END $$;
CREATE FUNCTION public.setval(regclass, integer) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN PERFORM public.spring('setval'); RETURN pg_catalog.setval($1, $2::bigint); END $$;
CREATE FUNCTION public.same(text, name) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN PERFORM public.spring('='); RETURN $1 OPERATOR(pg_catalog.=) $2::text; END $$;
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = name, FUNCTION = public.same);
CREATE FUNCTION public.same(bigint, integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN PERFORM public.spring('='); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
CREATE OPERATOR public.= (LEFTARG = bigint, RIGHTARG = integer, FUNCTION = public.same);
"""


@pytest.fixture
def strange(ground: Yard, roles: tuple[str, str]) -> Iterator[Yard]:
    """A role besides the tool's superuser, which may only connect."""
    del roles
    yield ground
    for side, database in zip(SIDES, ground.databases, strict=True):
        with ground.side(side) as connection:
            connection.execute(f"REVOKE ALL ON DATABASE {database} FROM clerk".encode())
            connection.execute("DROP SCHEMA IF EXISTS strangler CASCADE")
            connection.execute("DROP OWNED BY clerk CASCADE")


def as_clerk(made: Yard, side: str) -> Connection:
    number = SIDES.index(side)
    return made.clusters[number].connect(made.databases[number], user="clerk")


def allow(made: Yard, side: str, right: str) -> None:
    with made.side(side) as connection:
        connection.execute(f"GRANT {right} TO clerk".encode())


def refusal(made: Yard) -> str:
    before = footprint(made)
    with pytest.raises(PreflightError) as caught:
        made.start()
    assert footprint(made) == before
    assert caught.value.exit_code == 2
    assert "strangler" in caught.value.remedy
    return caught.value.message


def test_nothing_that_a_role_makes_in_public_is_called_in_a_whole_move(strange: Yard) -> None:
    for side in SIDES:
        allow(strange, side, "CREATE ON SCHEMA public")
        with as_clerk(strange, side) as connection:
            connection.execute(TRAPS)
        with strange.side(side) as connection:
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET search_path = public, pg_catalog".encode())
    try:
        strange.move_to_service()
        with strange.monolith() as connection:
            connection.execute("SET search_path = pg_catalog")
            spoil(connection, "DELETE FROM public.visit WHERE id = 3")
        assert strange.verify(repair=True).differing == 0
        strange.switch("reverse")
        with strange.working() as parts:
            cancel(parts)
        assert not [one for one in strange.doctor() if one.id != "unplaced"]

        for side in SIDES:
            with strange.side(side) as connection:
                connection.execute("SET search_path = pg_catalog")
                assert connection.execute("SELECT * FROM public.yard_caught").fetchall() == []
                query = "SELECT rolsuper FROM pg_roles WHERE rolname = 'clerk'"
                assert connection.execute(query).fetchone() == (False,)
    finally:
        for side in SIDES:
            with strange.side(side) as connection:
                connection.execute(f"ALTER DATABASE {connection.info.dbname} RESET search_path".encode())


@pytest.mark.parametrize("side", SIDES)
def test_a_schema_that_another_has_made_first_is_refused_by_name(strange: Yard, side: str) -> None:
    allow(strange, side, f"CREATE ON DATABASE {strange.databases[SIDES.index(side)]}")
    with as_clerk(strange, side) as connection:
        connection.execute("CREATE SCHEMA strangler")

    assert "the schema strangler is clerk's" in refusal(strange)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE strangler.side (capability text)", "strangler.side is clerk's"),
        ("CREATE VIEW strangler.move AS SELECT 1", "strangler.move is clerk's"),
        (
            "CREATE FUNCTION strangler.close_side(text, bigint, bigint) RETURNS void LANGUAGE sql AS 'SELECT'",
            "strangler.close_side(text,bigint,bigint) is clerk's",
        ),
        ("CREATE TYPE strangler.text AS ENUM ()", "the type strangler.text is clerk's"),
    ],
)
@pytest.mark.parametrize("side", SIDES)
def test_what_another_has_made_in_the_schema_is_refused_by_name(
    strange: Yard, side: str, statement: str, said: str
) -> None:
    with strange.side(side) as connection:
        connection.execute("CREATE SCHEMA strangler")
        connection.execute("GRANT CREATE, USAGE ON SCHEMA strangler TO clerk")
        with as_clerk(strange, side) as clerk:
            clerk.execute(statement.encode())
        connection.execute("REVOKE ALL ON SCHEMA strangler FROM clerk")

    assert said in refusal(strange)


def test_a_schema_in_which_all_may_create_is_refused(strange: Yard) -> None:
    with strange.service() as connection:
        connection.execute("CREATE SCHEMA strangler")
        connection.execute("GRANT CREATE ON SCHEMA strangler TO PUBLIC")

    assert "PUBLIC may create in the schema strangler" in refusal(strange)


def test_a_trigger_of_another_on_a_table_of_the_schema_stops_every_verb(strange: Yard) -> None:
    strange.start()
    allow(strange, "monolith", "CREATE ON SCHEMA public")
    with strange.monolith() as connection:
        connection.execute("GRANT TRIGGER ON strangler.move TO clerk")
    with as_clerk(strange, "monolith") as clerk:
        clerk.execute("CREATE FUNCTION public.t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        clerk.execute("CREATE TRIGGER t AFTER UPDATE ON strangler.move EXECUTE FUNCTION public.t()")

    for act in (strange.verify, strange.switch, strange.doctor, lambda: _cancel(strange)):
        with pytest.raises(PreflightError, match=r"the trigger t on strangler\.move calls public\.t"):
            act()


def _cancel(made: Yard) -> None:
    with made.working() as parts:
        cancel(parts)


FUNCTIONS = """
SELECT p.oid::regprocedure::text, p.proconfig::text LIKE '%search_path=pg_catalog, pg_temp%',
       has_function_privilege('clerk', p.oid, 'EXECUTE')
FROM pg_proc p WHERE p.pronamespace = 'strangler'::regnamespace
"""


def test_every_function_has_its_own_search_path_and_all_may_execute_only_what_applications_call(strange: Yard) -> None:
    strange.start()

    for side in SIDES:
        with strange.side(side) as connection:
            rows = connection.execute(FUNCTIONS).fetchall()
            assert len(rows) > 15
            assert [name for name, fixed, _ in rows if not fixed] == []
            assert {name for name, _, public in rows if public} == {
                "strangler.note_use(text)",
                "strangler.note_use(text,text,text,bigint)",
            }


def test_a_role_that_may_only_connect_can_queue_nothing_and_turn_nothing(strange: Yard) -> None:
    strange.start()
    allow(strange, "monolith", "CREATE ON SCHEMA public")
    with as_clerk(strange, "monolith") as clerk:
        clerk.execute("CREATE TABLE public.mine (id int)")
        trigger = "CREATE TRIGGER mine AFTER DELETE ON public.mine FOR EACH ROW EXECUTE FUNCTION strangler."

        denied = psycopg.errors.InsufficientPrivilege.sqlstate
        assert refused(clerk, trigger + "queue_orphan('crates', 'id', 'Crate')") == denied
        assert refused(clerk, trigger + "refuse('crates', 'write')") == denied
        assert refused(clerk, "SELECT strangler.close_side('crates', 1, 2)") == denied
        assert refused(clerk, "DO $$ BEGIN LOCK TABLE strangler.side; END $$") == denied
        assert refused(clerk, "SELECT strangler.note_use('crates')") is None
        assert refused(clerk, "SELECT * FROM strangler.side") is None


def test_two_installs_at_once_both_succeed(clusters: tuple[Cluster, Cluster]) -> None:
    """This holds also while somebody has every advisory lock that an older version took."""
    clusters[0].create("installed")
    errors: list[Exception] = []
    ready = threading.Barrier(6)

    def install() -> None:
        try:
            with connect(clusters[0].dsn("installed"), purpose="test") as connection:
                ready.wait(30)
                installing.install_ledger(connection)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    with clusters[0].connect("installed") as holder:
        holder.execute("SELECT pg_advisory_lock(hashtext('strangler install'))")
        threads = [threading.Thread(target=install) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        assert holder.execute("SELECT count(*) FROM strangler.move").fetchone() == (0,)
    clusters[0].drop("installed")


def test_an_application_may_still_make_partitions_of_a_table_whose_deletions_are_queued(owned: Yard) -> None:
    grant_all(owned)
    owned.start()
    with owned.monolith() as connection:
        connection.execute("CREATE TABLE public.parted (id int PRIMARY KEY) PARTITION BY RANGE (id)")
        connection.execute(
            "CREATE TRIGGER strangler_orphan AFTER DELETE ON public.parted FOR EACH ROW "
            "EXECUTE FUNCTION strangler.queue_orphan('crates', 'id', 'parted')"
        )
        connection.execute("ALTER TABLE public.parted OWNER TO clerk")
        connection.execute("SET ROLE clerk")

        assert (
            refused(connection, "CREATE TABLE public.p PARTITION OF public.parted FOR VALUES FROM (1) TO (9)") is None
        )


def test_a_session_that_was_refused_once_is_refused_again(strange: Yard) -> None:
    for side, database in zip(SIDES, strange.databases, strict=True):
        allow(strange, side, f"CREATE ON DATABASE {database}")
        with as_clerk(strange, side) as connection:
            connection.execute("CREATE SCHEMA strangler")
    with strange.working() as parts:
        for act in (parts.ledger.exists, parts.monolith.row, parts.service.row, parts.replication.streams):
            for _ in range(2):
                with pytest.raises(PreflightError, match="the schema strangler is clerk's"):
                    act()
