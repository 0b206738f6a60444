"""What the sweep does behind a deletion that a stream has brought, and when it does nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from chassis.ownership import owners
from chassis.references import orphans, sweeping
from chassis.testing.sessions import another_session
from django.db import connection, connections, transaction
from library.side import SIDE_SQL
from library.waiting import until
from ties.models import Audit, Donor, Fine, Gift, Locker, Loose, Member, OldMember, Pledge, Receipt, Remark, Swipe

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]

KEYS = '{"public.ties_member": ["id", "card", "badge"]}'


class Stream:
    """Does to the members what the apply worker of a stream would do."""

    def __init__(self) -> None:
        self.session = another_session(autocommit=True)
        self.do(SIDE_SQL.decode())
        self.do(
            "INSERT INTO strangler.side (capability, side, epoch, open, tables, keys) "
            "VALUES ('members', 'monolith', 1, false, '{public.ties_member}', '" + KEYS + "')"
        )
        self.do(
            "CREATE TRIGGER strangler_orphan AFTER DELETE ON ties_member FOR EACH ROW "
            "EXECUTE FUNCTION strangler.queue_orphan('members', '', 'ties_member');"
            "ALTER TABLE ties_member ENABLE REPLICA TRIGGER strangler_orphan"
        )
        self.do("SET session_replication_role = replica")

    def do(self, statement: str, *values: Any) -> None:
        self.session.execute(statement.encode(), values or None)

    def delete(self, *keys: int) -> None:
        self.do("DELETE FROM ties_member WHERE id = ANY (%s)", list(keys))

    def insert(self, key: int, card: int) -> None:
        self.do("INSERT INTO ties_member (id, name, card, badge) VALUES (%s, '', %s, 'one')", key, card)

    def queued(self) -> list[Any]:
        return self.session.execute(
            "SELECT table_name, key, columns, attempts, error FROM strangler.orphan ORDER BY id"
        ).fetchall()

    def close(self) -> None:
        self.do("DROP TRIGGER strangler_orphan ON ties_member; DROP SCHEMA strangler CASCADE")
        self.session.close()


@pytest.fixture
def stream(transactional_db, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    monkeypatch.setattr(owners, "_present", set())
    made = Stream()
    yield made
    made.close()


@pytest.fixture
def member(stream: Stream) -> Member:
    """Its key is 1 and its card 2; another's are 2 and 1."""
    Member.objects.create(pk=2, card=1, badge="two")
    return Member.objects.create(pk=1, card=2, badge="one")


def test_dependants_are_those_that_point_at_the_row_by_whatever_column(stream: Stream, member: Member) -> None:
    other = Member.objects.get(pk=2)
    for one in (member, other):
        Fine.objects.create(member=one)
        Swipe.objects.create(card=one)
        Locker.objects.create(card=one)
        Loose.objects.create(member=one)
    Loose.objects.create(member=other, badge=member)

    stream.delete(1)

    assert sweeping.sweep() == 1
    assert list(Fine.objects.values_list("member_id", flat=True)) == [2]
    assert list(Swipe.objects.values_list("card_id", flat=True)) == [1]
    assert set(Locker.objects.values_list("card_id", flat=True)) == {None, 1}
    assert list(Loose.objects.values_list("member_id", "badge_id")) == [(2, None)]
    assert stream.queued() == []


def test_what_is_deleted_and_put_back_in_one_transaction_keeps_its_dependants(stream: Stream, member: Member) -> None:
    Fine.objects.create(member=member)
    Locker.objects.create(card=member)

    with stream.session.transaction():
        stream.delete(1)
        stream.insert(1, 2)

    assert sweeping.sweep() == 0
    assert (Fine.objects.count(), Locker.objects.get().card_id) == (1, 2)
    assert stream.queued() == []


def test_a_row_that_comes_back_with_another_card_keeps_what_points_at_its_key_alone(
    stream: Stream, member: Member
) -> None:
    Fine.objects.create(member=member)
    Remark.objects.create(about=member)
    Locker.objects.create(card=member)

    with stream.session.transaction():
        stream.delete(1)
        stream.insert(1, 77)

    assert sweeping.sweep() == 1
    assert (Fine.objects.count(), Remark.objects.count(), Locker.objects.get().card_id) == (1, 1, None)


def test_a_row_that_is_being_put_back_meanwhile_keeps_its_dependants(stream: Stream, member: Member) -> None:
    Fine.objects.create(member=member)
    stream.delete(1)

    with stream.session.transaction():
        stream.insert(1, 2)
        # Not to be seen yet; but somebody writes the table, so nothing is decided.
        assert sweeping.sweep() == 0
        assert Fine.objects.count() == 1

    stream.do("UPDATE strangler.orphan SET retry_at = '-infinity'")
    assert sweeping.sweep() == 0
    assert Fine.objects.count() == 1
    assert stream.queued() == []


def test_a_row_that_arrives_between_the_clean_up_and_its_commit_keeps_its_dependants(
    stream: Stream, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    Fine.objects.create(member=member)
    stream.delete(1)
    monkeypatch.setattr(orphans, "WRITERS_SECONDS", 60)
    stream.do("BEGIN")
    stream.insert(1, 2)

    running = threading.Thread(target=lambda: (sweeping.sweep(), connections.close_all()))
    running.start()
    # It has deleted the fine, and waits.
    until(lambda: _holds("ties_fine", "RowExclusiveLock"))
    stream.do("COMMIT")
    running.join(60)

    assert not running.is_alive()
    assert Fine.objects.count() == 1
    assert stream.queued() == []


def _holds(table: str, mode: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = %s::regclass AND mode = %s)", (table, mode)
        )
        return bool(cursor.fetchone()[0])


def test_a_project_whose_isolation_is_repeatable_read_sees_the_row_that_came_back(
    stream: Stream, member: Member
) -> None:
    Fine.objects.create(member=member)
    stream.delete(1)
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_isolation = 'repeatable read'")
    try:
        assert sweeping.sweep() == 1
    finally:
        connection.close()


def test_a_policy_that_hides_rows_hides_none_from_the_sweep(stream: Stream, member: Member) -> None:
    Fine.objects.create(member=member)
    with connection.cursor() as cursor:
        for statement in (
            "CREATE ROLE filtered",
            "GRANT USAGE ON SCHEMA strangler TO filtered",
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO filtered",
            "SELECT strangler.let_sweep('filtered')",
            "ALTER TABLE ties_member ENABLE ROW LEVEL SECURITY",
        ):
            cursor.execute(statement)
        with stream.session.transaction():
            stream.delete(1)
            stream.insert(1, 2)
        cursor.execute("SET ROLE filtered")
        try:
            assert sweeping.sweep() == 0
        finally:
            for statement in ("RESET ROLE", "ALTER TABLE ties_member DISABLE ROW LEVEL SECURITY"):
                cursor.execute(statement)
            cursor.execute("DROP OWNED BY filtered")
            cursor.execute("DROP ROLE filtered")

    assert Fine.objects.count() == 1
    assert "row-level security" in stream.queued()[0][4]


def test_models_that_share_the_table_are_all_asked(stream: Stream, member: Member) -> None:
    Gift.objects.create(patron_id=1)
    Gift.objects.create(patron_id=2, old=OldMember.objects.get(pk=1))
    Gift.objects.create(patron_id=2)

    stream.delete(1)

    assert sweeping.sweep() == 1
    assert list(Gift.objects.values_list("patron_id", "old_id")) == [(2, None)]


def test_a_child_in_a_table_of_its_own_goes_with_what_points_at_it(stream: Stream, member: Member) -> None:
    donor = Donor.objects.create(pk=30, card=30, gave=5)
    Receipt.objects.create(donor=donor)

    stream.delete(donor.pk)

    assert sweeping.sweep() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT (SELECT count(*) FROM ties_donor), (SELECT count(*) FROM ties_receipt)")
        assert cursor.fetchone() == (0, 0)


def test_what_points_by_content_type_goes_too(stream: Stream, member: Member) -> None:
    Remark.objects.create(about=member)

    stream.delete(1)

    assert sweeping.sweep() == 1
    assert not Remark.objects.exists()


@pytest.mark.parametrize(("action", "left"), [("CASCADE", [2]), ("SET NULL", [None, 2])])
def test_what_the_database_would_have_done_is_done(
    stream: Stream, member: Member, action: str, left: list[int | None]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ties_audit ALTER member_id DROP NOT NULL")
        cursor.execute(
            "ALTER TABLE ties_audit ADD CONSTRAINT said "
            f"FOREIGN KEY (member_id) REFERENCES ties_member ON DELETE {action}"
        )
    try:
        Audit.objects.create(member_id=1)
        Audit.objects.create(member_id=2)
        stream.delete(1)

        assert sweeping.sweep() == 1
        assert sorted(Audit.objects.values_list("member_id", flat=True), key=str, reverse=True) == sorted(
            left, key=str, reverse=True
        )
    finally:
        Audit.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE ties_audit DROP CONSTRAINT said, ALTER member_id SET NOT NULL")


def test_what_the_database_would_have_refused_stays_queued_and_says_so(stream: Stream, member: Member) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ties_audit ADD CONSTRAINT said FOREIGN KEY (member_id) REFERENCES ties_member")
    try:
        Audit.objects.create(member_id=1)
        stream.delete(1)

        assert sweeping.sweep() == 0
        assert "rows of public.ties_audit point at it by said" in stream.queued()[0][4]
    finally:
        Audit.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE ties_audit DROP CONSTRAINT said")


def test_what_restricts_the_deletion_stays_queued_and_says_so(stream: Stream, member: Member) -> None:
    Pledge.objects.create(member=member)
    Fine.objects.create(member=member)

    stream.delete(1)

    assert sweeping.sweep() == 0
    assert "RestrictedError" in stream.queued()[0][4]
    assert (Pledge.objects.count(), Fine.objects.count()) == (1, 1)
    Pledge.objects.all().delete()


def test_a_column_that_something_points_at_but_is_not_queued_is_named(stream: Stream, member: Member) -> None:
    stream.do("""UPDATE strangler.side SET keys = '{"public.ties_member": ["id"]}'""")
    Fine.objects.create(member=member)
    stream.delete(1)

    assert sweeping.sweep() == 0

    table, key, columns, attempts, error = stream.queued()[0]
    assert (table, key, columns, attempts) == ("ties_member", "1", {"id": "1"}, 1)
    assert "card, which was not queued" in error or "badge, which was not queued" in error
    assert Fine.objects.count() == 1


def test_a_row_that_an_older_version_has_queued_is_swept_where_its_column_is_known(stream: Stream) -> None:
    stream.do(
        "INSERT INTO strangler.side (capability, side, epoch, open, tables) "
        "VALUES ('donors', 'monolith', 1, false, '{public.ties_donor}')"
    )
    stream.do("INSERT INTO ties_receipt (donor_id) VALUES (30), (31)")
    stream.do("INSERT INTO ties_donor (member_ptr_id, gave) VALUES (31, 5)")
    for key in ("30", "31"):
        stream.do("INSERT INTO strangler.orphan (capability, table_name, key) VALUES ('donors', 'ties_donor', %s)", key)

    assert sweeping.sweep() == 1
    assert list(Receipt.objects.values_list("donor_id", flat=True)) == [31]
    assert stream.queued() == []
    stream.do("DELETE FROM ties_receipt; DELETE FROM ties_donor")


def test_a_row_that_an_older_version_has_queued_is_left_where_its_column_is_not_known(stream: Stream) -> None:
    Member.objects.create(pk=2, card=1)
    Member.objects.create(pk=1, card=2)
    Fine.objects.create(member_id=2)
    Locker.objects.create(card_id=2)
    stream.do("SET session_replication_role = replica; DELETE FROM ties_member WHERE id = 1")
    stream.do("UPDATE strangler.orphan SET key = '2', columns = NULL, relation = NULL")

    assert sweeping.sweep() == 0
    assert "an older version queued '2', which may be of any of card, id" in stream.queued()[0][4]
    assert (Fine.objects.count(), Locker.objects.get().card_id) == (1, 2)


def test_a_queued_row_of_a_table_that_is_not_the_capability_s_is_left(stream: Stream, member: Member) -> None:
    Gift.objects.create(patron_id=1)
    stream.do("INSERT INTO strangler.orphan (capability, table_name, key) VALUES ('members', 'ties_fine', '1')")
    stream.do("INSERT INTO strangler.orphan (capability, table_name, key) VALUES ('others', 'ties_member', '1')")

    assert sweeping.sweep() == 0
    assert [row[4] for row in stream.queued()] == [
        "LookupError: ties_fine is no table of members here",
        "LookupError: ties_member is no table of others here",
    ]


def test_a_clean_up_that_a_deferred_constraint_refuses_holds_up_no_other(stream: Stream, member: Member) -> None:
    """What points at a dependant is another side's, which has not sent its deletion yet."""
    donor = Donor.objects.create(pk=30, card=30)
    Receipt.objects.create(donor=donor)
    Fine.objects.create(member=member)
    stream.do(
        "INSERT INTO strangler.side (capability, side, epoch, open, tables) "
        "VALUES ('receipts', 'monolith', 1, false, '{public.ties_receipt}')"
    )
    stream.delete(donor.pk)
    stream.delete(1)

    assert sweeping.sweep() == 1
    assert [row[3] for row in stream.queued()] == [1]
    assert "ForeignKeyViolation" in stream.queued()[0][4] or "IntegrityError" in stream.queued()[0][4]
    assert not Fine.objects.exists()
    Receipt.objects.all().delete()


def test_the_sweep_s_tables_are_the_tool_s_and_not_those_of_another_schema(stream: Stream, member: Member) -> None:
    Fine.objects.create(member=member)
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.ties_member (LIKE public.ties_member)")
        cursor.execute("SET search_path = elsewhere, public")
    try:
        with stream.session.transaction():
            stream.delete(1)
            stream.insert(1, 2)
        assert sweeping.sweep() == 0
        stream.delete(1)
        assert sweeping.sweep() == 0
    finally:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA elsewhere CASCADE")

    assert Fine.objects.count() == 1
    assert "and no model says what becomes of them" in stream.queued()[0][4]


def test_who_may_only_connect_can_queue_nothing(stream: Stream, member: Member) -> None:
    Fine.objects.create(member=member)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE ROLE stranger")
        cursor.execute("SET LOCAL ROLE stranger")
        cursor.execute("CREATE TEMP TABLE ties_member (id int)")
        with pytest.raises(Exception, match="permission denied for function"), transaction.atomic():
            cursor.execute(
                "CREATE TRIGGER t AFTER DELETE ON ties_member FOR EACH ROW "
                "EXECUTE FUNCTION strangler.queue_orphan('members', 'id', 'ties_member')"
            )
        with pytest.raises(Exception, match="permission denied"), transaction.atomic():
            cursor.execute("SELECT FROM strangler.orphan")
        cursor.execute("RESET ROLE")
        # Whoever may call it, as owners of partitioned tables must, may call it for the tool's tables only.
        cursor.execute("GRANT EXECUTE ON FUNCTION strangler.queue_orphan() TO stranger")
        cursor.execute("SET LOCAL ROLE stranger")
        cursor.execute("INSERT INTO ties_member VALUES (1)")
        cursor.execute(
            "CREATE TRIGGER t AFTER DELETE ON ties_member FOR EACH ROW "
            "EXECUTE FUNCTION strangler.queue_orphan('members', 'id', 'ties_member')"
        )
        with pytest.raises(Exception, match="is no table that is being moved") as caught, transaction.atomic():
            cursor.execute("DELETE FROM ties_member")
        assert caught.value.__cause__.sqlstate == "SF004"  # type: ignore[union-attr]
        cursor.execute("RESET ROLE")
        transaction.set_rollback(True)

    assert stream.queued() == []
    assert Fine.objects.count() == 1
