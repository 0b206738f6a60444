"""Code of the tables' owner never runs with the tool's rights, and the rows are right all the same."""

from __future__ import annotations

import pytest
from servers import Cluster
from strangler.application.ending import cancel
from strangler.domain.errors import PreflightError
from test_verifying import spoil
from yard import SIDES, Yard, contents, grant_all

# Each says as which role it runs, after it has tried to become the session's own role again.
WRITTEN = """
CREATE TABLE public.yard_caught (what text, who text);
GRANT INSERT ON public.yard_caught TO PUBLIC;
CREATE FUNCTION public.says(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    BEGIN EXECUTE 'RESET ROLE'; EXCEPTION WHEN OTHERS THEN NULL; END;
    INSERT INTO public.yard_caught VALUES (what, current_user);
    IF session_user = 'mover' THEN PERFORM set_config('search_path', 'public, pg_catalog', false); END IF;
    RETURN true;
END $$;
CREATE FUNCTION public.numbered(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN PERFORM public.says('an expression'); RETURN n; END $$;
CREATE FUNCTION public.pg_replication_origin_session_reset() RETURNS void LANGUAGE plpgsql AS
$$ BEGIN PERFORM public.says('a function in the way'); END $$;
CREATE DOMAIN public.short AS varchar(9) CHECK (public.says('a domain'));
CREATE DOMAIN public.shorter AS public.short;
CREATE TYPE public.pair AS (a integer, b public.short);
CREATE CAST (text AS public.pair) WITH INOUT AS ASSIGNMENT;
ALTER TABLE "Crate" ADD CHECK (public.says('a check'));
ALTER TABLE visit ADD twice integer GENERATED ALWAYS AS (public.numbered(length(code))) STORED;
ALTER TABLE reading ADD CHECK (public.says('a check of a partition'));
CREATE UNIQUE INDEX ON bays."Bay slot" (lane, place, public.numbered(place));
ALTER TABLE visit ADD one public.shorter, ADD several public.short[], ADD two public.pair;
CREATE FUNCTION public.told(colour) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM public.says('a cast'); RETURN 'x'; END $$;
CREATE CAST (colour AS text) WITH FUNCTION public.told(colour) AS IMPLICIT;
ALTER TABLE "Crate" ADD CHECK (public.says('a check that is not validated')) NOT VALID;
"""
FILLED = """UPDATE visit SET one = 'a, "b', several = '{"x,y",NULL}', two = '(1,"q "" q")' WHERE id % 2 = 0"""


WHAT = ("a check", "a check of a partition", "a check that is not validated", "a domain", "an expression")


@pytest.fixture
def written(owned: Yard) -> Yard:
    grant_all(owned)
    for side in SIDES:
        with owned.side(side) as connection:
            connection.execute("SET ROLE clerk")
            connection.execute(WRITTEN.encode())
            if side == "monolith":
                connection.execute(FILLED)
            connection.execute("TRUNCATE public.yard_caught")
    return owned


def caught(made: Yard) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for side in SIDES:
        with made.side(side) as connection:
            for what, who in connection.execute("SELECT DISTINCT what, who FROM public.yard_caught").fetchall():
                found.setdefault(who, set()).add(what)
    return found


def test_nothing_of_the_tables_owner_runs_with_the_tool_s_rights(written: Yard) -> None:
    written.start()
    with written.service() as there, written.monolith() as here:
        assert contents(there) == contents(here)
        there.execute("SET search_path = public")
        spoil(there, """UPDATE "Crate" SET weight = 0, colour = 'red'""")
        spoil(there, "UPDATE ticket SET number = 0 WHERE id = 7")
        spoil(there, """UPDATE visit SET one = 'x', several = '{}', two = '(2,z)'""")
        spoil(there, "DELETE FROM reading_rest")
        spoil(there, 'DELETE FROM bays."Bay slot" WHERE place < 5')
        spoil(there, "INSERT INTO visit (id, took) OVERRIDING SYSTEM VALUE VALUES (5000, '1 day')")
        assert written.verify(repair=True).differing == 0
        assert contents(there) == contents(here)
    written.switch()
    written.switch("reverse")
    with written.working() as parts:
        cancel(parts)

    # Nothing uses a cast; the damage by hand was done by the superuser.
    assert {who: what for who, what in caught(written).items() if who != "postgres"} == {"clerk": set(WHAT)}


TAKEN = [
    "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC, clerk; GRANT TEMPORARY ON DATABASE {database} TO mover",
    "REVOKE SET OPTION FOR clerk FROM mover",
]


@pytest.mark.parametrize("taken", TAKEN)
def test_a_move_that_was_begun_without_these_rights_names_them(written: Yard, taken: str) -> None:
    written.start()
    with written.service() as there:
        spoil(there, "DELETE FROM ticket WHERE id = 7")
        spoil(there, """UPDATE "Crate" SET weight = 0""")
        take = taken.format(database=written.databases[1]).encode()

        there.execute(take)
        with pytest.raises(PreflightError, match=r"cannot run as its owner clerk") as repairing:
            written.verify(repair=True)
        there.execute(repairing.value.remedy.encode())
        assert written.verify(repair=True).differing == 0

        there.execute(take)
        with (
            pytest.raises(PreflightError, match=r"cannot run as its owner clerk") as emptying,
            written.working() as parts,
        ):
            cancel(parts)
        there.execute(emptying.value.remedy.encode())
        with written.working() as parts:
            cancel(parts)


def test_an_owner_as_whom_nothing_can_run_is_refused(clusters: tuple[Cluster, Cluster], owned: Yard) -> None:
    grant_all(owned)
    with owned.service() as connection:
        connection.execute("REVOKE SET OPTION FOR clerk FROM mover")

    with pytest.raises(PreflightError, match=r"what writes Crate cannot run as its owner clerk") as caught:
        owned.start()

    assert "WITH SET TRUE" in caught.value.remedy
