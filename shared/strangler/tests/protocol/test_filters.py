"""Everything that would hide rows from the tool stops it: it proves or deletes nothing when it sees only some rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from strangler.application.ending import cancel
from strangler.domain.errors import ConfigurationError, PreflightError, RefusedError, StranglerError
from yard import Yard, contents, footprint, grant_all

FORCED = (
    'ALTER TABLE "Crate" ENABLE ROW LEVEL SECURITY',
    'ALTER TABLE "Crate" FORCE ROW LEVEL SECURITY',
    'CREATE POLICY light_ones ON "Crate" USING (weight < 10)',
)


def on(made: Yard, side: str, *statements: str) -> None:
    with made.side(side) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def refusal(made: Yard, act: Callable[[], object], kind: type[StranglerError] = PreflightError) -> StranglerError:
    before = footprint(made)
    with pytest.raises(StranglerError) as caught:
        act()
    assert footprint(made) == before
    assert caught.value.exit_code == 2
    assert caught.value.place
    assert caught.value.remedy
    first = caught.value.findings[0].error or caught.value
    assert isinstance(first, kind)
    return first


@pytest.mark.parametrize("side", ["monolith", "service"])
def test_a_policy_that_filters_the_tool_is_named_before_anything_is_copied(owned: Yard, side: str) -> None:
    grant_all(owned)
    on(owned, side, *FORCED)

    error = refusal(owned, owned.start)

    assert "Crate is filtered for mover by row-level security (light_ones)" in error.message
    assert "NO FORCE ROW LEVEL SECURITY" in error.remedy
    on(owned, side, 'ALTER TABLE "Crate" NO FORCE ROW LEVEL SECURITY')
    # The application would still find different rows on the two sides.
    assert (
        f"POLICY FOR ALL TO PUBLIC USING weight < 10 :: numeric: in the {side} only"
        in refusal(owned, owned.start).message
    )
    on(owned, "service" if side == "monolith" else "monolith", *FORCED[:1], *FORCED[2:])
    assert owned.start().rows > 0
    assert owned.verify().differing == 0


@pytest.mark.parametrize("alike", ["other side", "this side"])
def test_a_move_with_a_policy_on_one_side_goes_on_once_both_are_alike(owned: Yard, alike: str) -> None:
    grant_all(owned)
    owned.start()
    on(owned, "monolith", *FORCED[:1], *FORCED[2:])
    assert "in the monolith only" in refusal(owned, owned.verify, RefusedError).message

    if alike == "other side":
        on(owned, "service", *FORCED[:1], *FORCED[2:])
    else:
        on(owned, "monolith", 'ALTER TABLE "Crate" DISABLE ROW LEVEL SECURITY')

    assert owned.verify().differing == 0
    owned.switch()


def test_row_level_security_without_any_policy_shows_nothing(owned: Yard) -> None:
    grant_all(owned)
    on(owned, "monolith", *FORCED[:2])

    assert "no policy, which shows nothing" in refusal(owned, owned.start).message


def test_a_superuser_is_told_of_a_policy_that_would_stop_the_streams(owned: Yard) -> None:
    on(owned, "service", *FORCED)
    made = replace(owned, endpoints=replace(owned.endpoints, databases=_superusers(owned)))

    assert "Crate is filtered for clerk by row-level security (light_ones)" in refusal(made, made.start).message


def _superusers(made: Yard) -> dict[str, str]:
    sides = zip(("yard", "depot"), made.clusters, made.databases, strict=True)
    return {name: cluster.dsn(database) for name, cluster, database in sides}


@pytest.mark.parametrize("side", ["monolith", "service"])
def test_a_policy_that_comes_later_stops_verify_repair_and_switch(owned: Yard, side: str) -> None:
    grant_all(owned)
    owned.start()
    owned.verify()
    on(owned, side, *FORCED)
    with owned.service() as connection:
        before = contents(connection)

    for repair in (False, True):
        error = refusal(owned, lambda repair=repair: owned.verify(repair=repair), RefusedError)  # type: ignore[misc]
        assert f"in the {side} Crate is filtered for mover by row-level security (light_ones)" in error.message
    with pytest.raises(RefusedError, match=r"gate rows: .*light_ones"):
        owned.switch()

    with owned.service() as connection:
        assert contents(connection) == before
    assert "filtered" in {finding.id for finding in owned.doctor()}


def test_a_policy_that_comes_while_rows_are_compared_is_no_proof(owned: Yard) -> None:
    grant_all(owned)
    owned.start()
    with owned.working() as parts:
        on(owned, "service", *FORCED)

        with pytest.raises(RefusedError, match=r"a policy would hide rows from the tool: .*Crate"):
            parts.replication.verify("monolith", lambda *_: None, mend=True)


def test_a_cancel_that_a_policy_stands_in_the_way_of_says_so(owned: Yard) -> None:
    grant_all(owned)
    owned.start()
    on(owned, "service", *FORCED)
    with owned.working() as parts, pytest.raises(RefusedError, match="a policy would hide rows from the tool"):
        cancel(parts)

    on(owned, "service", 'ALTER TABLE "Crate" NO FORCE ROW LEVEL SECURITY')
    with owned.working() as parts:
        cancel(parts)
    assert owned.doctor() == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE RULE lost AS ON INSERT TO ticket DO INSTEAD NOTHING", "ticket has the rule lost"),
        ("CREATE RULE noted AS ON UPDATE TO ticket DO ALSO NOTIFY x", "ticket has the rule noted"),
        ("REVOKE SELECT ON ticket FROM clerk", "clerk lacks SELECT on ticket"),
        ("REVOKE INSERT, DELETE ON ticket FROM clerk", "mover lacks INSERT, DELETE on ticket"),
    ],
)
def test_rules_and_missing_rights_are_named(owned: Yard, statement: str, said: str) -> None:
    grant_all(owned)
    on(owned, "service", statement)

    assert said in refusal(owned, owned.start).message


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["ALTER TABLE ticket RENAME TO t", "CREATE VIEW ticket AS SELECT * FROM t"], "ticket is a view"),
        (
            ["ALTER TABLE ticket RENAME TO t", "CREATE MATERIALIZED VIEW ticket AS SELECT * FROM t"],
            "ticket is a materialized view",
        ),
        (
            [
                "DROP TABLE ticket",
                "CREATE FOREIGN DATA WRAPPER away",
                "CREATE SERVER away FOREIGN DATA WRAPPER away",
                "CREATE FOREIGN TABLE ticket (id int) SERVER away",
            ],
            "ticket is a foreign table",
        ),
        (
            ["CREATE SCHEMA shop", "ALTER TABLE ticket SET SCHEMA shop"],
            "no table ticket in the database yard, but shop.",
        ),
    ],
)
def test_what_is_no_table_of_this_name_is_called_what_it_is(ground: Yard, statements: list[str], said: str) -> None:
    on(ground, "monolith", *statements)
    try:
        assert said in refusal(ground, ground.start, ConfigurationError).message
    finally:
        on(ground, "monolith", "DROP SERVER IF EXISTS away CASCADE", "DROP FOREIGN DATA WRAPPER IF EXISTS away")


@pytest.mark.parametrize("how", ["database", "role", "schema of the role's name"])
def test_a_table_that_applications_find_in_another_schema_is_not_passed_by(owned: Yard, how: str) -> None:
    grant_all(owned)
    setting = {
        "database": ["CREATE SCHEMA shop", f"ALTER DATABASE {owned.databases[0]} SET search_path = shop, public"],
        "role": [
            "CREATE SCHEMA shop",
            f"ALTER ROLE clerk IN DATABASE {owned.databases[0]} SET search_path = pg_catalog, shop, public",
        ],
        "schema of the role's name": ["CREATE SCHEMA shop AUTHORIZATION clerk", "ALTER SCHEMA shop RENAME TO clerk"],
    }[how]
    schema = "clerk" if "schema" in how else "shop"
    on(owned, "monolith", *setting, f"CREATE TABLE {schema}.ticket (id int PRIMARY KEY)")
    wider = replace(owned, project=replace(owned.project, stays=[*owned.project.stays, f"{schema}.*"]))

    error = refusal(wider, wider.start, ConfigurationError)

    assert f"finds {schema}.ticket before public.ticket" in error.message
    assert f"write {schema}.ticket if that is the one" in error.remedy


@pytest.mark.parametrize("kind", ["money", "money[]", "price", "offer[]"])
def test_money_that_the_two_servers_write_otherwise_is_refused(ground: Yard, kind: str) -> None:
    for side in ("monolith", "service"):
        on(ground, side, "CREATE DOMAIN price AS money", "CREATE TYPE offer AS (prices price[])")
        on(ground, side, f"ALTER TABLE ticket ADD price {kind}")
    on(ground, "service", f"ALTER DATABASE {ground.databases[1]} SET lc_monetary = 'C.utf8'")
    try:
        message = refusal(ground, ground.start).message
        assert "ticket.price has the money of lc_monetary C in the monolith and C.utf8 in the service" in message
    finally:
        on(ground, "service", f"ALTER DATABASE {ground.databases[1]} RESET lc_monetary")
