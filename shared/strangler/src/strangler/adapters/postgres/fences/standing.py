"""Compares with the side's row what there is: triggers, the functions that they call, publications, subscriptions.

Note "one look": one statement reads everything, so that the row and the triggers are of the same moment, for a fence
changes both in one transaction. The statement locks nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strangler.adapters.postgres.fences import deletions
from strangler.adapters.postgres.schema import installed, rights
from strangler.adapters.postgres.session.connection import Connection, scalar
from strangler.adapters.postgres.streams import channels
from strangler.domain import names
from strangler.domain.move import Deviation

LOOK = r"""
WITH side AS (
    SELECT epoch, open, tables, to_jsonb(s) -> 'keys' AS keys FROM strangler.side s WHERE capability = %(capability)s
),
listed AS (
    SELECT t AS name, to_regclass(t)::oid AS oid, position FROM side, unnest(tables) WITH ORDINALITY u (t, position)
)
SELECT jsonb_build_object(
    'row', (SELECT jsonb_build_object('epoch', epoch, 'open', open, 'keys', keys) FROM side),
    'tables', (SELECT jsonb_agg(jsonb_build_object(
        'name', l.name, 'oid', l.oid::bigint, 'leaf', c.relkind = 'r', 'logged', c.relpersistence = 'p',
        'partition', c.relispartition,
        'written', (SELECT CASE WHEN ident[1] = 'public' THEN ident[2] ELSE array_to_string(ident, '.') END
            FROM parse_ident(l.name) ident),
        'identified', CASE c.relreplident WHEN 'n' THEN false WHEN 'f' THEN true ELSE EXISTS (
            SELECT FROM pg_index i WHERE i.indrelid = l.oid AND i.indisvalid
            AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary AND i.indimmediate END) END,
        'triggers', (SELECT jsonb_object_agg(g.tgname, jsonb_build_object(
                'letter', g.tgenabled, 'type', g.tgtype, 'arguments', encode(g.tgargs, 'hex'),
                'function', p.proname, 'ours', p.pronamespace = to_regnamespace('strangler'),
                'plain', g.tgqual IS NULL AND g.tgattr::text = '' AND g.tgconstraint = 0))
            FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
            WHERE g.tgrelid = l.oid
              AND (starts_with(g.tgname, 'strangler_') OR p.pronamespace = to_regnamespace('strangler')))
        ) ORDER BY l.position) FROM listed l LEFT JOIN pg_class c ON c.oid = l.oid),
    'unlisted', (SELECT jsonb_agg(tree.relid::text) FROM listed l JOIN pg_class c ON c.oid = l.oid AND c.relkind = 'p'
        AND NOT c.relispartition, pg_partition_tree(l.oid) tree
        WHERE tree.relid NOT IN (SELECT oid FROM listed WHERE oid IS NOT NULL)),
    'strays', (SELECT jsonb_object_agg(relation::oid::bigint,
                                       jsonb_build_object('name', relation::text, 'triggers', names))
        FROM (SELECT g.tgrelid::regclass AS relation, jsonb_agg(quote_ident(g.tgname) ORDER BY g.tgname) AS names
              FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid AND p.pronamespace = to_regnamespace('strangler')
              WHERE g.tgrelid NOT IN (SELECT oid FROM listed WHERE oid IS NOT NULL)
                AND p.proname = ANY (%(fencing)s) AND g.tgrelid <> to_regclass('strangler.drill')
                AND starts_with(encode(g.tgargs, 'escape'), %(capability)s || '\000') GROUP BY g.tgrelid) s),
    'bypasses', (SELECT jsonb_agg(coalesce(quote_ident(rolname), 'everybody')) FROM pg_db_role_setting s
        LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
        WHERE (s.setdatabase = 0 OR d.datname = current_database()) AND r.rolname IS DISTINCT FROM current_user
          AND EXISTS (SELECT FROM unnest(setconfig) c WHERE lower(c) = 'session_replication_role=replica')),
    -- What this session would have begun with, where that is nothing that its role or database says: the server's own.
    'bypassed', (SELECT reset_val = 'replica' FROM pg_settings WHERE name = 'session_replication_role')
        AND NOT EXISTS (SELECT FROM pg_db_role_setting s, unnest(setconfig) c
            WHERE lower(c) = 'session_replication_role=replica'
              AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
              AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))),
    'functions', FUNCTIONS,
    'installed', obj_description(to_regnamespace('strangler'), 'pg_namespace'),
    'marker', to_regclass('strangler.marker')::oid::bigint,
    'publication', (SELECT jsonb_build_object(
        'settings', jsonb_build_array(puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot),
        'schemas', (SELECT count(*) FROM pg_publication_namespace n WHERE n.pnpubid = p.oid),
        'tables', (SELECT jsonb_object_agg(r.prrelid::bigint, jsonb_build_object('name', r.prrelid::regclass::text,
                'filter', pg_get_expr(r.prqual, r.prrelid), 'columns', r.prattrs::text))
            FROM pg_publication_rel r WHERE r.prpubid = p.oid))
        FROM pg_publication p WHERE p.pubname = %(publication)s),
    'slot', (SELECT jsonb_build_object('plugin', plugin, 'temporary', temporary, 'two_phase', two_phase)
        FROM pg_replication_slots WHERE slot_name = %(publication)s AND database = current_database()),
    'subscription', (SELECT jsonb_build_object('enabled', subenabled,
        'skips', subskiplsn <> '0/0', 'slot', subslotname, 'origin', suborigin,
        'publications', to_jsonb(subpublications),
        'tables', (SELECT jsonb_object_agg(r.srrelid::bigint, r.srrelid::regclass::text)
            FROM pg_subscription_rel r WHERE r.srsubid = s.oid))
        FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()
        WHERE s.subname = %(subscription)s))::text
""".replace("FUNCTIONS", installed.FUNCTIONS)
PRESENT = "SELECT to_regclass('strangler.side')"
ROW_BEFORE_ALL = 31  # tgtype: BEFORE INSERT OR UPDATE OR DELETE … FOR EACH ROW
BEFORE_ALL = 62  # BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE … FOR EACH STATEMENT
BEFORE_TRUNCATE = 34
ROW_AFTER_DELETE = 9


@dataclass(frozen=True, slots=True)
class Expected:
    """What one side should have.

    ``tables`` are those that strangler.toml names. ``publication`` and ``subscription`` belong to the streams that
    leave this side and come to it; None if that stream has ended.
    """

    capability: str
    side: str
    tables: Sequence[str]
    publication: str | None
    subscription: str | None


@dataclass(frozen=True, slots=True)
class Trigger:
    """How a trigger of the tool should be; ``letters`` are values of ``tgenabled``."""

    name: str
    type: int
    function: str
    arguments: tuple[str, ...]
    letters: str

    def defined(self, found: Mapping[str, Any]) -> bool:
        """Whether the trigger that was found does the right thing when it fires."""
        return bool(
            found["type"] == self.type
            and found["ours"]
            and found["function"] == self.function
            and found["plain"]
            and bytes.fromhex(found["arguments"]) == "".join(f"{each}\0" for each in self.arguments).encode()
        )


def triggers(expected: Expected, *, opened: bool, leaf: bool) -> list[Trigger]:
    """The fences that a table has on an open or a closed side."""
    name = expected.capability
    replica = "R" if opened else "D"
    # Once no stream leaves this side it may be disabled.
    truncate = "O" if expected.publication else "OD"
    found = [
        Trigger(names.FENCE, BEFORE_ALL, "refuse", (name, "write"), "D" if opened else "O"),
        Trigger(names.REPLICA_TRUNCATE, BEFORE_TRUNCATE, "refuse", (name, "replicated truncate"), replica),
        Trigger(names.TRUNCATE, BEFORE_TRUNCATE, "refuse_truncate", (name,), truncate),
    ]
    if leaf:
        found.append(Trigger(names.REPLICA_FENCE, ROW_BEFORE_ALL, "refuse", (name, "replicated row"), replica))
    return found


def look(connection: Connection, expected: Expected) -> list[Deviation]:
    """Everything on one side that differs from its row, and that alone if the row is gone. A move has begun."""
    if scalar(connection, PRESENT) is None:
        return [_rowless(expected, "the schema strangler is gone, and with it the fences")]
    values = {
        "capability": expected.capability,
        "fencing": list(names.FENCING),
        "publication": expected.publication,
        "subscription": expected.subscription,
    }
    row = connection.execute(LOOK.encode(), values).fetchone()
    assert row is not None
    found: dict[str, Any] = json.loads(row[0])
    if found["row"] is None:
        return [_rowless(expected, f"strangler.side has no row of {expected.capability}, so nothing is fenced by it")]
    besides = [Deviation(expected.side, what, remedy, unproven=False) for what, remedy in rights.besides(connection)]
    return [*_functions(expected, found), *besides, *_tables(expected, found), *_channels(expected, found)]


def _rowless(expected: Expected, what: str) -> Deviation:
    return Deviation(
        expected.side,
        f"{what}: nothing here says who owns {expected.capability}",
        f"while the monolith owns it: `strangler cancel {expected.capability}`, empty the service's tables, and start "
        "anew; while the service owns it: put the schema strangler of that database back from a backup",
    )


def _channels(expected: Expected, found: Mapping[str, Any]) -> Iterator[Deviation]:
    return channels.deviations(
        expected.capability,
        expected.side,
        publication=expected.publication,
        subscription=expected.subscription,
        found=found,
    )


def _functions(expected: Expected, found: Mapping[str, Any]) -> Iterator[Deviation]:
    altered = installed.altered(found["installed"] or "", found["functions"] or [])
    if altered:
        yield Deviation(
            expected.side,
            f"{', '.join(altered)} {'is' if len(altered) == 1 else 'are'} not what the tool has installed",
            f"run `strangler verify {expected.capability}`: it installs them again before it compares",
            mark=installed.MARK,
        )


def _tables(expected: Expected, found: Mapping[str, Any]) -> Iterator[Deviation]:
    opened: bool = found["row"]["open"]
    known = _streamed(found)
    strays: Mapping[str, Any] = found["strays"] or {}
    renamed = [stray["name"] for oid, stray in strays.items() if oid in known]
    for table in found["tables"] or []:
        if table["oid"] is None:
            yield _gone(expected, table, renamed)
            continue
        present: Mapping[str, Any] = table["triggers"] or {}
        if table["leaf"] and known and str(table["oid"]) not in known:
            yield Deviation(
                expected.side,
                f"{table['name']} is another table than the one that the move began with",
                "put the first one back under its name, or cancel the move and start it anew",
            )
            continue
        yield from _fences(expected, table, present, opened=opened)
        yield from _queue(expected, table, present, (found["row"]["keys"] or {}).get(table["name"]))
        yield from _kind(expected, table)
    for made in found["unlisted"] or []:
        yield Deviation(
            expected.side,
            f"{made} has been made since the move began: nothing of it is streamed, and no fence guards it",
            "cancel the move and start it anew: it will know it then",
        )
    for who in found["bypasses"] or []:
        yield Deviation(
            expected.side,
            f"sessions of {who} begin with session_replication_role = replica: no fence stops them",
            "ALTER ROLE … or ALTER DATABASE … RESET session_replication_role",
        )
    if found["bypassed"]:
        yield Deviation(
            expected.side,
            "all sessions of this server begin with session_replication_role = replica: no fence stops them",
            "ALTER SYSTEM RESET session_replication_role (or postgresql.conf says it), then SELECT pg_reload_conf()",
        )
    for name in renamed:
        yield Deviation(
            expected.side,
            f"{name} has this capability's fences, and the move does not know it",
            "give it its old name",
        )
    for oid, stray in strays.items():
        if oid not in known:
            yield Deviation(
                expected.side,
                f"{stray['name']} is none of its tables, and has its fences: {', '.join(stray['triggers'])}",
                "; ".join(f"DROP TRIGGER {each} ON {stray['name']}" for each in stray["triggers"]),
                unproven=False,
            )


def _streamed(found: Mapping[str, Any]) -> set[str]:
    """The tables that a stream knows, by oid: after a renaming they have other names, but are the same tables."""
    parts = [(found[key] or {}).get("tables") or {} for key in ("publication", "subscription")]
    return {oid for part in parts for oid in part}


def _gone(expected: Expected, table: Mapping[str, Any], renamed: Sequence[str]) -> Deviation:
    """A partition that was dropped, or a table that was dropped or renamed."""
    name: str = table["name"]
    lost = table["written"] in expected.tables
    if renamed:
        remedy = "give it its old name back"
    elif lost:
        remedy = "cancel the move and start it anew, once the table is there again"
    else:
        remedy = "it is forgotten by itself where `strangler serve` runs"
    return Deviation(
        expected.side,
        f"{name} is no longer there",
        remedy,
        mendable=not renamed and not lost,
        unproven=bool(renamed) or lost,
        mark=name,
    )


def _fences(
    expected: Expected, table: Mapping[str, Any], present: Mapping[str, Any], *, opened: bool
) -> Iterator[Deviation]:
    due = triggers(expected, opened=opened, leaf=table["leaf"])
    queues = _queues(present)
    wrong = [sentence for trigger in due if (sentence := _wrong(trigger, present.get(trigger.name)))]
    # Also under a name that somebody has given it: a fence refuses under any name.
    wrong += [
        f"{name} is one more, and {LETTERS[each['letter']]}"
        for name, each in present.items()
        if each["ours"] and each["function"] in names.FENCING and each["letter"] != "D"
        if name not in queues and name not in {trigger.name for trigger in due}
    ]
    if wrong:
        yield Deviation(
            expected.side,
            f"fences of {table['name']}: {', '.join(wrong)}",
            "`strangler serve` turns them right within seconds; see the log of who runs ALTER TABLE … TRIGGER",
            mendable=True,
            # Writes that an open side accepts are right, whatever its fences are.
            unproven=not opened,
            mark=table["name"],
        )


def _queue(
    expected: Expected, table: Mapping[str, Any], present: Mapping[str, Any], columns: Sequence[str] | None
) -> Iterator[Deviation]:
    """The triggers that queue deletions; ``columns`` are those of the side's row, if it has any for this table."""
    queues = _queues(present)
    wrong = [f"{name} {LETTERS[present[name]['letter']]}" for name in queues if present[name]["letter"] != "R"]
    renamed = [name for name in queues if not name.startswith(names.ORPHAN)]
    wrong += [f"{name} is {names.ORPHAN} under another name" for name in renamed]
    if columns is not None:
        # With either argument an older version has made it; the present function asks the side's row.
        made = [
            Trigger(
                names.ORPHAN, ROW_AFTER_DELETE, "queue_orphan", (expected.capability, column, table["written"]), "RODA"
            )
            for column in dict.fromkeys([deletions.argument(columns), *columns, ""])
        ]
        there = present.get(renamed[0] if renamed else names.ORPHAN)
        said = [_wrong(trigger, there) for trigger in made]
        wrong += [said[0]] if said[0] and all(said) else []
    if wrong:
        yield Deviation(
            expected.side,
            f"deletions of {table['name']} that arrive are not queued as they should be: {', '.join(wrong)}",
            "`strangler serve` turns it right within seconds, verify and switch do so, too; clean up what refers to "
            "rows that have been deleted meanwhile",
            mendable=True,
            unproven=False,
            mark=table["name"],
        )


def _queues(present: Mapping[str, Any]) -> list[str]:
    """The triggers that queue deletions; a renamed one counts only if there is no other."""
    named = [name for name in present if name.startswith(names.ORPHAN)]
    return named or [name for name, each in present.items() if each["ours"] and each["function"] == names.QUEUEING]


LETTERS = {
    "O": "fires for local writes",
    "D": "is disabled",
    "R": "fires for streamed rows only",
    "A": "fires for every write",
}


def _wrong(trigger: Trigger, present: Mapping[str, Any] | None) -> str | None:
    if present is None:
        return f"{trigger.name} is missing"
    if not trigger.defined(present):
        return f"{trigger.name} is another trigger"
    if present["letter"] not in trigger.letters:
        return f"{trigger.name} {LETTERS[present['letter']]}"
    return None


def _kind(expected: Expected, table: Mapping[str, Any]) -> Iterator[Deviation]:
    if not table["partition"] and table["written"] not in expected.tables:
        yield Deviation(
            expected.side,
            f"{table['name']} has been detached since the move began: it is streamed, and no verify looks at it",
            "attach it again, or drop it on both sides",
        )
    if not table["logged"]:
        yield Deviation(
            expected.side,
            f"{table['name']} is unlogged now: nothing of it is streamed",
            f"ALTER TABLE {table['name']} SET LOGGED, then `strangler verify {expected.capability} --repair`",
        )
    if table["leaf"] and not table["identified"] and expected.publication:
        yield Deviation(
            expected.side,
            f"{table['name']} has no replica identity any more: updates and deletes of it fail",
            f"ALTER TABLE {table['name']} REPLICA IDENTITY DEFAULT, and give it its primary key back",
            unproven=False,
        )
