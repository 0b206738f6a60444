"""Moved tables that point at tables which stay: what a start says of them, and the secret that deletions are signed
with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from strangler.adapters.postgres.schema import secret
from strangler.application.ending import cancel
from strangler.application.sides import Parts
from strangler.domain.errors import ConfigurationError
from strangler.domain.project import Parent
from test_older_schemas import made_older
from yard import Yard, execute, grant_all, patrolled

POINTING = "ALTER TABLE ticket ADD setting text REFERENCES yard_setting"


def pointing(made: Yard) -> Yard:
    """Tickets point at settings, which stay; the service has no settings."""
    execute(made, "monolith", POINTING)
    execute(made, "service", "ALTER TABLE ticket ADD setting text")
    return made


def with_parents(made: Yard, *parents: Parent) -> Yard:
    crates = replace(made.project.capabilities["crates"], parents=list(parents))
    return replace(made, project=replace(made.project, capabilities={"crates": crates}))


def secrets(made: Yard) -> list[Any]:
    found = []
    for side in ("monolith", "service"):
        with made.side(side) as connection:
            row = connection.execute("SELECT secret FROM strangler.secret WHERE capability = 'crates'").fetchone()
            found.append(row[0] if row else None)
    return found


def cascades(parts: Parts) -> list[tuple[str, str]]:
    return parts.replication.cascades()


def test_a_start_says_which_deletions_will_be_sent(ground: Yard) -> None:
    found = pointing(ground).start().findings

    assert [each.message for each in found if each.id == "cascade-from-outside"] == [
        "deletions of yard_setting reach ticket.setting: while the service owns them, Django sends such deletions "
        "to it and waits; raw SQL does not"
    ]
    with ground.working() as parts:
        assert cascades(parts) == [("ticket.setting", "yard_setting")]
        assert [each.partition(":")[0] for each in parts.replication.deaf(parts.name)] == [
            "the monolith cannot",
            "the service cannot",
        ]


def test_parents_of_whom_nothing_is_deleted_are_left_out(ground: Yard) -> None:
    made = with_parents(pointing(ground), Parent("ticket", "setting", deletes=False))

    assert not [each for each in made.start().warnings if "cascade-from-outside" in each]
    with made.working() as parts:
        assert cascades(parts) == []


def test_a_parent_that_is_none_is_refused(ground: Yard) -> None:
    with pytest.raises(ConfigurationError) as caught:
        with_parents(ground, Parent("ticket", "number")).start()

    assert caught.value.place == "strangler.toml: capabilities.crates.parents[0]"
    assert "ticket.number is no foreign key to a table that does not move with it" in caught.value.message


def test_both_sides_have_one_secret_that_nobody_else_may_read(owned: Yard) -> None:
    grant_all(owned)
    owned.start()

    here, there = secrets(owned)
    assert here == there
    assert len(here) == 64
    for side in ("monolith", "service"):
        with owned.side(side) as connection:
            readers = connection.execute(
                "SELECT rolname FROM pg_roles WHERE has_table_privilege(oid, 'strangler.secret', 'SELECT') "
                "AND NOT rolsuper AND rolname !~ '^pg_' ORDER BY rolname"
            ).fetchall()
            writers = connection.execute(
                "SELECT rolname FROM pg_roles WHERE has_table_privilege(oid, 'strangler.secret', 'UPDATE') "
                "AND NOT rolsuper AND rolname !~ '^pg_'"
            ).fetchall()
        # As an application reads it.
        with owned.clusters[side == "service"].connect(owned.databases[side == "service"], user="clerk") as connection:
            assert secret.read(connection, "crates") == here
        assert (readers, writers) == ([("clerk",), ("mover",)], [("mover",)])
    assert owned.doctor() == []


def test_a_move_of_an_older_version_gets_a_secret(moving: Yard) -> None:
    made_older(moving)

    patrolled(moving)
    moving.verify()

    here, there = secrets(moving)
    assert here is not None
    assert here == there


def test_a_secret_that_one_side_has_lost_is_given_again(moving: Yard) -> None:
    before = secrets(moving)
    execute(moving, "service", "DELETE FROM strangler.secret")

    assert patrolled(moving) == ["both sides now have the same secret"]

    assert secrets(moving) == before
    assert patrolled(moving) == []


def test_a_database_that_has_another_place_gets_another_secret(moving: Yard) -> None:
    before = secrets(moving)
    execute(moving, "monolith", "UPDATE strangler.secret SET place = '7/7'")

    assert patrolled(moving) == ["both sides now have the same secret"]

    here, there = secrets(moving)
    assert here == there
    assert here not in before


def test_the_secret_goes_with_the_move(moving: Yard) -> None:
    with moving.working() as parts:
        cancel(parts)

    assert secrets(moving) == [None, None]
