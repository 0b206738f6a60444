"""Streams that were moved on by hand are detected, and streams that were lost are made anew."""

from __future__ import annotations

import pytest
from servers import eventually
from strangler.application.ending import complete
from strangler.application.resync import Resynced, resync
from strangler.application.watch import patrol
from strangler.domain.errors import RefusedError
from yard import SIDES, Yard, contents

NAMES = {"monolith": "strangler_yard_crates_forward", "service": "strangler_depot_crates_reverse"}  # by sender


def patrolled(made: Yard) -> list[str]:
    told: list[str] = []
    with made.working() as parts:
        patrol(parts, lambda _, what: told.append(what))
    return told


def resynced(made: Yard) -> Resynced:
    with made.working() as parts:
        return resync(parts, progress=lambda *_: None)


def peer(side: str) -> str:
    return SIDES[1 - SIDES.index(side)]


def still(made: Yard, sender: str) -> None:
    """Disables the stream, and waits until it has released its slot."""
    name = NAMES[sender]
    with made.side(peer(sender)) as there, made.side(sender) as here:
        there.execute(f"ALTER SUBSCRIPTION {name} DISABLE".encode())
        held = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{name}' AND active".encode()
        eventually(lambda: not here.execute(held).fetchone())


def enabled(made: Yard, sender: str) -> None:
    with made.side(peer(sender)) as there:
        there.execute(f"ALTER SUBSCRIPTION {NAMES[sender]} ENABLE".encode())


def moved_on(made: Yard, sender: str, how: str) -> None:
    """Moves the stream past all that has been written so far, or so that nothing is lost."""
    name = NAMES[sender]
    with made.side(sender) as here, made.side(peer(sender)) as there:
        position = here.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert position is not None
        if how == "slot":
            here.execute("SELECT pg_replication_slot_advance(%s, %s)", (name, position[0]))
        elif how == "origin":
            there.execute(
                "SELECT pg_replication_origin_advance('pg_' || oid, %s) FROM pg_subscription WHERE subname = %s",
                (position[0], name),
            )
        elif how == "made anew":
            here.execute("SELECT pg_drop_replication_slot(%s)", (name,))
            here.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))


@pytest.mark.exhaustive(2)
@pytest.mark.parametrize("how", ["slot", "origin", "made anew"])
@pytest.mark.parametrize("owner", SIDES)
def test_a_stream_that_was_moved_past_rows_while_it_stood_still_is_found_out(
    moving: Yard, owner: str, how: str
) -> None:
    if owner == "service":
        moving.switch()
        moving.verify()
    verb = "reverse" if owner == "service" else "switch"
    still(moving, owner)
    patrolled(moving)
    with moving.side(owner) as here:
        here.execute("INSERT INTO visit (took) VALUES ('1 day')")
    moved_on(moving, owner, how)
    enabled(moving, owner)

    eventually(lambda: "passed over" in " ".join(patrolled(moving)))

    assert [each.id for each in moving.doctor()] == ["unproven"]
    with pytest.raises(RefusedError, match=r"gate verify: not verified since the .* stream has passed over"):
        moving.switch(verb)
    assert moving.verify(repair=True).repaired == 1
    assert moving.doctor() == []
    moving.switch(verb)


def test_a_stream_that_only_stood_still_stays_proved(moving: Yard) -> None:
    for sender in SIDES:
        still(moving, sender)
    patrolled(moving)
    with moving.monolith() as here:
        here.execute("INSERT INTO visit (took) VALUES ('1 day')")
        for sender in SIDES:
            enabled(moving, sender)

        facts = "SELECT facts ->> 'sentinels' FROM strangler.move"
        eventually(lambda: patrolled(moving) == [] and here.execute(facts).fetchone() == ("{}",))

        for side in SIDES:
            with moving.side(side) as connection:
                left = "SELECT 1 FROM strangler.marker WHERE written_at = 'infinity'"
                eventually(lambda connection=connection, left=left: not connection.execute(left).fetchone())
    moving.switch()


def test_a_transaction_that_is_to_be_skipped_is_named(moving: Yard) -> None:
    with moving.service() as there:
        there.execute(f"ALTER SUBSCRIPTION {NAMES['monolith']} SKIP (lsn = 'FF/0')".encode())
        assert ["is to skip a transaction" in each.message for each in moving.doctor()] == [True]
        there.execute(moving.doctor()[0].hint.encode())
    assert moving.doctor() == []


def gone(made: Yard, sender: str, what: str) -> None:
    name = NAMES[sender]
    still(made, sender)
    with made.side(sender) as here, made.side(peer(sender)) as there:
        if what == "slot":
            here.execute("SELECT pg_drop_replication_slot(%s)", (name,))
        elif what == "publication":
            here.execute(f"DROP PUBLICATION {name}".encode())
        else:
            there.execute(f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)".encode())
            there.execute(f"DROP SUBSCRIPTION {name}".encode())


@pytest.mark.parametrize("what", ["slot", "publication", "subscription"])
def test_the_way_back_is_there_again_after_its_stream_was_lost(moving: Yard, what: str) -> None:
    moving.switch()
    gone(moving, "service", what)
    patrolled(moving)
    with moving.service() as there, moving.monolith() as here:
        # A unique key goes from one row to another, a row changes, goes, comes, and comes back.
        there.execute("""UPDATE "Crate" SET "Label" = 'free' WHERE number = 5""")
        there.execute(
            """UPDATE "Crate" SET "Label" = (SELECT "Label" FROM "Crate" WHERE number = 6) || '!'""" " WHERE number = 7"
        )
        there.execute("DELETE FROM ticket WHERE id IN (3, 4)")
        there.execute("DELETE FROM visit WHERE id = 2")
        there.execute("INSERT INTO ticket (id, number, crate) SELECT 4, 77, crate FROM ticket WHERE id = 5")
        there.execute("UPDATE ticket SET crate = (SELECT crate FROM ticket WHERE id = 10), number = 6 WHERE id = 11")
        there.execute("INSERT INTO visit (took) VALUES ('2 days')")
        hints = {each.hint for each in moving.doctor() if "resync" in each.hint}
        assert hints == {"run `strangler resync crates`"}
        for act in (moving.verify, lambda: moving.switch("reverse")):
            with pytest.raises(RefusedError) as refusal:
                act()
            assert "strangler resync crates" in refusal.value.remedy

        done = resynced(moving)

        assert done.streams == ["reverse"]
        assert done.rows > 3
        there.execute("INSERT INTO visit (took) VALUES ('3 days')")
        moving.catch_up("service")
        assert contents(here) == contents(there)
        with pytest.raises(RefusedError, match="gate verify: not verified since the reverse stream was lost"):
            moving.switch("reverse")
        assert moving.verify().differing == 0
        assert moving.doctor() == []
        with pytest.raises(RefusedError, match="no stream is lost"):
            resynced(moving)
        moving.switch("reverse")
        assert contents(here) == contents(there)


def test_both_streams_that_were_lost_are_made_anew_while_the_monolith_owns(moving: Yard) -> None:
    for sender in SIDES:
        gone(moving, sender, "slot")
    with moving.monolith() as here, moving.service() as there:
        here.execute("DELETE FROM visit WHERE id = 2")

        assert resynced(moving).streams == ["forward", "reverse"]

        assert contents(here) == contents(there)
    assert moving.verify().differing == 0
    moving.switch()
    moving.verify()
    moving.switch("reverse")


def test_the_stream_of_a_seam_is_made_anew_after_the_end(moving: Yard) -> None:
    moving.switch()
    with moving.working() as parts:
        complete(parts, drop=False)
    gone(moving, "service", "slot")
    with moving.service() as there, moving.monolith() as here:
        there.execute("DELETE FROM visit WHERE id = 2")

        assert resynced(moving).streams == ["reverse"]

        assert contents(here) == contents(there)
    assert moving.doctor() == []
