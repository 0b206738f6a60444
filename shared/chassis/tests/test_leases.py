"""Who may act is decided by rows that only the application may write, and by no lock that anybody may take."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from chassis.database import leases
from chassis.messages import shares
from chassis.messages.outbox import LANES
from chassis.messages.shares import Share
from chassis.models import Lease, OutboxMessage
from chassis.testing.sessions import another_session
from django.db import connection, connections, transaction
from library.relays import Ear, RelayProcess, tell
from library.waiting import until

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]

Session = psycopg.Connection[Any]


def connect(user: str | None = None) -> Session:
    return another_session(autocommit=True, **({"user": user, "password": user} if user else {}))


@pytest.fixture
def stranger(transactional_db) -> Iterator[Session]:
    """A session of a role that may only connect."""
    with connect() as administrator:
        administrator.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
        with connect("stranger") as session:
            yield session
        until(lambda: not administrator.execute("SELECT FROM pg_stat_activity WHERE usename = 'stranger'").fetchone())
        administrator.execute("DROP ROLE stranger")


@pytest.fixture
def colleague(transactional_db) -> Iterator[Session]:
    """A session of the application's own role."""
    with connect() as session:
        yield session


@pytest.fixture
def share(transactional_db, monkeypatch: pytest.MonkeyPatch) -> Iterator[Share]:
    """Looks whenever it is asked to."""
    monkeypatch.setattr(shares, "LOOK_SECONDS", 0.0)
    yield Share()
    connection.close()


def session_of(other: Session) -> leases.Session:
    row = other.execute(leases.WHO).fetchone()
    assert row is not None
    return leases.Session(*row)


def test_a_lease_is_one_session_s_until_it_is_given_back_or_that_ends(colleague: Session) -> None:
    theirs, mine = session_of(colleague), leases.this_session()

    assert leases.take("work", theirs)
    assert leases.take("work", theirs)
    assert not leases.take("work", mine)
    leases.give("work", mine)
    assert leases.holders("wo") == {"work": theirs.pid}
    leases.give("work", theirs)
    assert leases.take("work", mine)
    leases.give("work", mine)

    assert leases.take("work", theirs)
    colleague.close()
    until(lambda: leases.take("work", mine))


def test_a_session_that_has_an_ended_one_s_process_id_has_not_its_leases(colleague: Session) -> None:
    theirs, mine = session_of(colleague), leases.this_session()
    assert leases.take("work", theirs)
    Lease.objects.update(started_at="2020-01-01T00:00Z")
    assert leases.take("work", mine)

    assert leases.take("other work", theirs)
    Lease.objects.update(role=0)
    assert leases.take("other work", mine)


def waits() -> bool:
    """Whether a session waits for another's row."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'transactionid')")
        return bool(cursor.fetchone()[0])


def test_of_two_that_try_at_once_one_has_the_lease(colleague: Session) -> None:
    theirs = session_of(colleague)
    taken: list[bool] = []

    def take() -> None:
        taken.append(leases.take("work", leases.this_session()))
        connections.close_all()

    with colleague.transaction():
        colleague.execute(leases.TAKE.encode(), ("work", theirs.pid, theirs.role, theirs.started_at))
        other = threading.Thread(target=take)
        other.start()
        until(waits)
    other.join(60)

    assert taken == [False]


def test_a_turn_ends_with_its_transaction_and_is_shared_by_those_that_share_it(colleague: Session) -> None:
    with pytest.raises(RuntimeError, match="ends with its transaction"):
        leases.turn("key")
    with transaction.atomic():
        leases.turn("key")
    with transaction.atomic():
        leases.turn("key", shared=True)
        name = Lease.objects.get().name
        assert colleague.execute("SELECT FROM chassis_lease WHERE name = %s FOR SHARE NOWAIT", (name,)).rowcount == 1
        with pytest.raises(psycopg.errors.LockNotAvailable):
            colleague.execute("SELECT FROM chassis_lease WHERE name = %s FOR UPDATE NOWAIT", (name,))
    with transaction.atomic():
        leases.turn("key")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            colleague.execute("SELECT FROM chassis_lease WHERE name = %s FOR SHARE NOWAIT", (name,))
    assert colleague.execute("SELECT FROM chassis_lease WHERE name = %s FOR UPDATE NOWAIT", (name,)).rowcount == 1


def test_locks_that_a_stranger_takes_hold_up_no_lane(stranger: Session, share: Share) -> None:
    for number in range(LANES + 1):
        stranger.execute("SELECT pg_advisory_lock(%s, %s)", (shares.CLASS, number))

    share.balance()

    assert share.lanes == set(range(LANES))


def test_relays_that_a_stranger_feigns_take_no_share(stranger: Session, share: Share) -> None:
    stranger.execute("SELECT pg_advisory_lock_shared(%s, %s)", (shares.CLASS, shares.MEMBER))

    share.balance()

    assert share.lanes == set(range(LANES))


def test_a_stranger_can_neither_write_nor_lock_a_lease(stranger: Session, share: Share) -> None:
    share.balance()
    for statement in ("UPDATE chassis_lease SET pid = 0", "BEGIN; LOCK chassis_lease IN ACCESS SHARE MODE"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            stranger.execute(statement.encode())
    stranger.execute("ROLLBACK")


def test_a_relay_of_a_version_before_keeps_its_lanes_and_takes_none_that_is_held(
    colleague: Session, share: Share
) -> None:
    colleague.execute("SELECT pg_advisory_lock_shared(%s, %s)", (shares.CLASS, shares.MEMBER))
    for lane in range(10):
        colleague.execute("SELECT pg_advisory_lock(%s, %s)", (shares.CLASS, lane))

    share.balance()
    assert share.lanes == set(range(10, LANES))
    free = colleague.execute("SELECT pg_try_advisory_lock(%s, 12)", (shares.CLASS,)).fetchone()
    assert free == (False,)

    # It gives lanes back, to have its fair share, and takes them again in a moment of doubt.
    colleague.execute("SELECT pg_advisory_unlock(%s, 9), pg_advisory_unlock(%s, 8)", (shares.CLASS, shares.CLASS))
    share.balance()
    assert share.lanes == set(range(8, LANES))
    colleague.close()
    until(lambda: share.balance() or share.lanes == set(range(LANES)))


def test_a_lane_that_a_relay_of_a_version_before_came_to_hold_is_left_to_it(
    stranger: Session, colleague: Session, share: Share
) -> None:
    stranger.execute("SELECT pg_advisory_lock(%s, 3)", (shares.CLASS,))
    share.balance()
    assert 3 in share.lanes
    stranger.execute("SELECT pg_advisory_unlock(%s, 3)", (shares.CLASS,))
    colleague.execute("SELECT pg_advisory_lock(%s, 3)", (shares.CLASS,))

    share.balance()

    assert 3 not in share.lanes


def test_a_lease_that_somebody_has_swept_away_is_given_up(share: Share) -> None:
    share.balance()
    Lease.objects.all().delete()
    Lease.objects.create(name=f"{shares.PREFIX}5", **vars_of(leases.this_session()))

    share.balance()

    assert share.lanes == set(range(LANES))
    assert Lease.objects.count() == LANES


def vars_of(session: leases.Session) -> dict[str, Any]:
    return {"pid": session.pid, "role": session.role, "started_at": session.started_at}


def test_messages_go_out_and_in_while_a_stranger_holds_every_lock(stranger: Session, rabbitmq: str) -> None:
    kind = "books.locked.added"
    for number in range(LANES + 1):
        stranger.execute("SELECT pg_advisory_lock(%s, %s)", (shares.CLASS, number))
    with Ear(rabbitmq, [kind]) as ear, RelayProcess(rabbitmq), RelayProcess(rabbitmq):
        for key in range(40):
            tell(kind, f"key-{key}")
        ear.await_count(40)
        until(lambda: not OutboxMessage.objects.exists())
