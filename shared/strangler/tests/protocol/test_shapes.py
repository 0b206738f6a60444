"""Two tables that look alike and differ: a function, an operator, a type or a policy behind them decides."""

from __future__ import annotations

from yard import Yard

TYPES = """
CREATE EXTENSION citext;
CREATE EXTENSION btree_gist;
CREATE FUNCTION fine(x integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT x > 0';
CREATE FUNCTION inner_most(x integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT x > 0';
CREATE FUNCTION outer_most(x integer) RETURNS boolean IMMUTABLE LANGUAGE sql RETURN inner_most(x);
CREATE TYPE pair AS (a integer, b text);
CREATE FUNCTION like_it(one text, other text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT one > other';
CREATE OPERATOR %% (LEFTARG = text, RIGHTARG = text, FUNCTION = like_it);
CREATE FUNCTION first_of(pair) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT $1.a';
CREATE CAST (pair AS integer) WITH FUNCTION first_of(pair);
CREATE DOMAIN small AS integer CHECK (fine(VALUE));
CREATE TYPE holder AS (one small[]);
CREATE TABLE parent (id integer PRIMARY KEY);
CREATE TABLE stay (room integer, during daterange, PRIMARY KEY (room, during));
"""
TABLE = """
CREATE TABLE shaped (
    id bigint PRIMARY KEY, a integer NOT NULL, b integer, code varchar(20), name text, email citext, amount numeric,
    padded char(5), pair pair, small small, smalls small[], holder holder, room integer, during daterange
)
"""
UNFINE = "CREATE OR REPLACE FUNCTION fine(x integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT x > 1'"
POLICY = "ALTER TABLE shaped ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON shaped "
BTREE = """
CREATE FUNCTION {name}(integer, integer) RETURNS integer IMMUTABLE LANGUAGE sql AS $f${body}$f$;
CREATE OPERATOR CLASS own FOR TYPE integer USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=,
    OPERATOR 5 >, FUNCTION 1 {name}(integer, integer);
CREATE UNIQUE INDEX ON shaped (a own)
"""


def _both(both: str, service: str) -> tuple[str, str]:
    return both, f"{both}; {service}"


TEMPORAL = (
    "ALTER TABLE stay DROP CONSTRAINT stay_pkey; ALTER TABLE stay ADD PRIMARY KEY (room, during WITHOUT OVERLAPS)"
)
UNLIKE = {  # statements that make a rule, and statements that change it
    "row-level security": ("", "ALTER TABLE shaped ENABLE ROW LEVEL SECURITY"),
    "a policy": (POLICY + "USING (a > 0)", POLICY + "USING (a > 1)"),
    "a policy's check": (POLICY + "WITH CHECK (a > 0)", POLICY + "WITH CHECK (a > 1)"),
    "a policy's command": (POLICY + "FOR SELECT USING (a > 0)", POLICY + "FOR UPDATE USING (a > 0)"),
    "a restrictive policy": (POLICY + "USING (a > 0)", POLICY + "AS RESTRICTIVE USING (a > 0)"),
    "a policy for some": (POLICY + "TO PUBLIC USING (a > 0)", POLICY + "TO CURRENT_USER USING (a > 0)"),
    "a policy's function": (POLICY + "USING (fine(a))", POLICY + "USING (fine(a)); " + UNFINE),
    "a policy's columns of another table": (
        POLICY + "USING (EXISTS (SELECT FROM stay WHERE stay.room = shaped.id))",
        POLICY + "USING (EXISTS (SELECT FROM stay WHERE shaped.room = shaped.id))",
    ),
    "forced": (
        "ALTER TABLE shaped ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE shaped ENABLE ROW LEVEL SECURITY; ALTER TABLE shaped FORCE ROW LEVEL SECURITY",
    ),
    "a unique cast of citext": (
        "CREATE UNIQUE INDEX ON shaped (email)",
        "CREATE UNIQUE INDEX ON shaped ((email::text))",
    ),
    "a unique cast of a number": (
        "CREATE UNIQUE INDEX ON shaped (amount)",
        "CREATE UNIQUE INDEX ON shaped ((amount::text))",
    ),
    "another operator class": (
        "CREATE UNIQUE INDEX ON shaped (email)",
        "CREATE UNIQUE INDEX ON shaped (email text_ops)",
    ),
    "a check that casts citext": (
        "ALTER TABLE shaped ADD CHECK (email ~ '^[a-z]+$')",
        "ALTER TABLE shaped ADD CHECK (email::text ~ '^[a-z]+$')",
    ),
    "a check that casts an expression of citext": (
        "ALTER TABLE shaped ADD CHECK (coalesce(email, 'a') <> 'b')",
        "ALTER TABLE shaped ADD CHECK (coalesce(email, 'a')::text <> 'b')",
    ),
    "a condition that casts": (
        "CREATE UNIQUE INDEX ON shaped (a) WHERE email <> 'x'",
        "CREATE UNIQUE INDEX ON shaped (a) WHERE email::text <> 'x'",
    ),
    "a domain's check that casts": (
        "CREATE DOMAIN mail AS citext CHECK (VALUE ~ 'a'); ALTER TABLE shaped ADD mail mail",
        "CREATE DOMAIN mail AS citext CHECK (VALUE::text ~ 'a'); ALTER TABLE shaped ADD mail mail",
    ),
    "overloads": (
        "CREATE FUNCTION ok(varchar) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';"
        "ALTER TABLE shaped ADD CHECK (ok(code))",
        "CREATE FUNCTION ok(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';"
        "ALTER TABLE shaped ADD CHECK (ok(code))",
    ),
    "the names of arguments": (
        "CREATE FUNCTION less(x integer, y integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT x < y';"
        "ALTER TABLE shaped ADD CHECK (less(a, b))",
        "CREATE FUNCTION less(y integer, x integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT x < y';"
        "ALTER TABLE shaped ADD CHECK (less(a, b))",
    ),
    "STRICT": (
        "ALTER TABLE shaped ADD CHECK (fine(b))",
        "ALTER FUNCTION fine(integer) STRICT; ALTER TABLE shaped ADD CHECK (fine(b))",
    ),
    "volatility": (
        "ALTER TABLE shaped ADD CHECK (fine(b))",
        "ALTER FUNCTION fine(integer) STABLE; ALTER TABLE shaped ADD CHECK (fine(b))",
    ),
    "SECURITY DEFINER": (
        "ALTER TABLE shaped ADD CHECK (fine(b))",
        "ALTER FUNCTION fine(integer) SECURITY DEFINER; ALTER TABLE shaped ADD CHECK (fine(b))",
    ),
    "a function's settings": (
        "ALTER TABLE shaped ADD CHECK (fine(b))",
        "ALTER FUNCTION fine(integer) SET timezone = 'Asia/Tokyo'; ALTER TABLE shaped ADD CHECK (fine(b))",
    ),
    "another language": (
        "CREATE FUNCTION one() RETURNS integer LANGUAGE sql AS 'SELECT 1';ALTER TABLE shaped ALTER b SET DEFAULT one()",
        "CREATE FUNCTION one() RETURNS integer LANGUAGE sql RETURN 1; ALTER TABLE shaped ALTER b SET DEFAULT one()",
    ),
    "blanks in a literal of a function": (
        "CREATE FUNCTION one() RETURNS text LANGUAGE sql AS $$SELECT 'a b'$$;"
        "ALTER TABLE shaped ALTER name SET DEFAULT one()",
        "CREATE FUNCTION one() RETURNS text LANGUAGE sql AS $$SELECT 'a  b'$$;"
        "ALTER TABLE shaped ALTER name SET DEFAULT one()",
    ),
    "a comment that swallows": (
        "CREATE FUNCTION one() RETURNS text LANGUAGE sql AS E'SELECT ''a'' -- c\\n LIMIT 0';"
        "ALTER TABLE shaped ALTER name SET DEFAULT one()",
        "CREATE FUNCTION one() RETURNS text LANGUAGE sql AS E'SELECT ''a'' -- c LIMIT 0';"
        "ALTER TABLE shaped ALTER name SET DEFAULT one()",
    ),
    "what a function asks": (
        "ALTER TABLE shaped ADD CHECK (outer_most(a))",
        "CREATE OR REPLACE FUNCTION inner_most(x integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT x > 1';"
        "ALTER TABLE shaped ADD CHECK (outer_most(a))",
    ),
    "a function behind an operator": (
        "ALTER TABLE shaped ADD CHECK (name %% code)",
        "CREATE OR REPLACE FUNCTION like_it(one text, other text) RETURNS boolean IMMUTABLE LANGUAGE sql AS "
        "'SELECT one < other'; ALTER TABLE shaped ADD CHECK (name %% code)",
    ),
    "an operator of another schema": (
        "ALTER TABLE shaped ADD CHECK (name >= code)",
        "CREATE SCHEMA ours; CREATE OPERATOR ours.>= (LEFTARG = text, RIGHTARG = text, FUNCTION = like_it);"
        "ALTER TABLE shaped ADD CHECK (name OPERATOR(ours.>=) code)",
    ),
    "a function of another schema": (
        "ALTER TABLE shaped ADD CHECK (lower(name) <> '')",
        "CREATE SCHEMA ours; CREATE FUNCTION ours.lower(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1';"
        "ALTER TABLE shaped ADD CHECK (ours.lower(name) <> '')",
    ),
    "a function behind an exclusion": (
        "CREATE UNIQUE INDEX ON shaped (a) WHERE fine(b)",
        UNFINE + "; CREATE UNIQUE INDEX ON shaped (a) WHERE fine(b)",
    ),
    "a function behind a cast": (
        "ALTER TABLE shaped ADD CHECK (pair::integer > 0)",
        "CREATE OR REPLACE FUNCTION first_of(pair) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT $1.a + 1';"
        "ALTER TABLE shaped ADD CHECK (pair::integer > 0)",
    ),
    "a function behind a domain": _both("ALTER TABLE shaped DROP smalls, DROP holder", UNFINE),
    "a function behind an array of a domain": _both("ALTER TABLE shaped DROP small, DROP holder", UNFINE),
    "a function behind a domain in a composite": _both("ALTER TABLE shaped DROP small, DROP smalls", UNFINE),
    "an operator class": (
        BTREE.format(name="cmp", body="SELECT sign($1 - $2)::int"),
        BTREE.format(name="cmp", body="SELECT sign($1 / 10 - $2 / 10)::int"),
    ),
    "a function of a partition key": (
        "CREATE TABLE cut (id integer, at integer) PARTITION BY LIST (fine(at))",
        UNFINE + "; CREATE TABLE cut (id integer, at integer) PARTITION BY LIST (fine(at))",
    ),
    "keys without overlaps": ("", TEMPORAL),
    "a foreign key for periods": (
        TEMPORAL + "; ALTER TABLE shaped ADD FOREIGN KEY (room, PERIOD during) REFERENCES stay (room, PERIOD during)",
        TEMPORAL,
    ),
    "a unique key without overlaps": (
        "ALTER TABLE shaped ADD UNIQUE (room, during)",
        "ALTER TABLE shaped ADD UNIQUE (room, during WITHOUT OVERLAPS)",
    ),
    "a unique key that is deferred": (
        "ALTER TABLE shaped ADD UNIQUE (b) DEFERRABLE",
        "ALTER TABLE shaped ADD UNIQUE (b) DEFERRABLE INITIALLY DEFERRED",
    ),
    "a foreign key that is deferrable": (
        "ALTER TABLE shaped ADD FOREIGN KEY (b) REFERENCES parent",
        "ALTER TABLE shaped ADD FOREIGN KEY (b) REFERENCES parent DEFERRABLE",
    ),
    "a check that is not enforced": (
        "ALTER TABLE shaped ADD CHECK (a > 0)",
        "ALTER TABLE shaped ADD CHECK (a > 0) NOT ENFORCED",
    ),
    "a foreign key that is not enforced": (
        "ALTER TABLE shaped ADD FOREIGN KEY (b) REFERENCES parent",
        "ALTER TABLE shaped ADD FOREIGN KEY (b) REFERENCES parent NOT ENFORCED",
    ),
    "a collation inside a key's expression": (
        "CREATE COLLATION own (provider = builtin, locale = 'C');"
        "CREATE UNIQUE INDEX ON shaped (lower(name COLLATE own))",
        "CREATE COLLATION own (provider = builtin, locale = 'C.UTF-8');"
        "CREATE UNIQUE INDEX ON shaped (lower(name COLLATE own))",
    ),
    "a collation within a composite": (
        "CREATE TYPE worded AS (word text); ALTER TABLE shaped ADD worded worded",
        'CREATE TYPE worded AS (word text COLLATE "C"); ALTER TABLE shaped ADD worded worded',
    ),
    "a collation of a range": (
        "CREATE TYPE words AS RANGE (subtype = text); ALTER TABLE shaped ADD words words",
        'CREATE TYPE words AS RANGE (subtype = text, collation = "C"); ALTER TABLE shaped ADD words words',
    ),
    "a virtual column": (
        "ALTER TABLE shaped ADD v integer GENERATED ALWAYS AS (a + 1) VIRTUAL",
        "ALTER TABLE shaped ADD v integer GENERATED ALWAYS AS (a + 2) VIRTUAL",
    ),
}
ALIKE = {  # things that look different and decide nothing
    "schemas of functions": (
        "CREATE SCHEMA ours; ALTER FUNCTION fine SET SCHEMA ours; ALTER TABLE shaped ADD CHECK (ours.fine(b))",
        "ALTER TABLE shaped ADD CHECK (fine(b))",
    ),
    "how a function is laid out": (
        "CREATE FUNCTION one() RETURNS integer LANGUAGE sql AS E'\\n  SELECT 1 -- it is one\\n    + 0\\n';"
        "ALTER TABLE shaped ALTER b SET DEFAULT one()",
        "CREATE FUNCTION one() RETURNS integer LANGUAGE sql AS E'SELECT  1 -- it is one\\n+ 0';"
        "ALTER TABLE shaped ALTER b SET DEFAULT one()",
    ),
    "an operator class that finds the same equal": (
        "CREATE UNIQUE INDEX ON shaped (code); CREATE UNIQUE INDEX ON shaped (padded)",
        "CREATE UNIQUE INDEX ON shaped (code varchar_pattern_ops);"
        "CREATE UNIQUE INDEX ON shaped (padded bpchar_pattern_ops)",
    ),
    "a function that belongs to no rule": (
        "CREATE INDEX ON shaped (fine(b)); CREATE FUNCTION other(x integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE INDEX ON shaped (a)",
    ),
    "policies that nobody asks": (
        "CREATE POLICY p ON shaped USING (fine(a))",
        "CREATE POLICY q ON shaped USING (a > 5)",
    ),
    "the names of policies": (POLICY + "USING (fine(a))", POLICY.replace("POLICY p", "POLICY q") + "USING (fine(a))"),
    "casts of what is a string already": (
        "CREATE UNIQUE INDEX ON shaped (lower(code)); ALTER TABLE shaped ADD CHECK (code <> name)",
        "CREATE UNIQUE INDEX ON shaped (lower(code::text)); ALTER TABLE shaped ADD CHECK (code::text <> name::text)",
    ),
    "names of collations": (
        "CREATE COLLATION one (provider = builtin, locale = 'C.UTF-8');"
        "ALTER TABLE shaped ALTER name TYPE text COLLATE one",
        "CREATE COLLATION two (provider = builtin, locale = 'C.UTF-8');"
        "ALTER TABLE shaped ALTER name TYPE text COLLATE two",
    ),
    "a check that is enforced nowhere": _both(
        "ALTER TABLE shaped DROP small, DROP smalls, DROP holder",
        UNFINE + "; ALTER TABLE shaped ADD CHECK (fine(a)) NOT ENFORCED",
    ),
}


TOLD = {
    "a policy": [
        "shaped: PERMISSIVE POLICY FOR ALL TO PUBLIC USING a > 0: in the monolith only",
        "shaped: PERMISSIVE POLICY FOR ALL TO PUBLIC USING a > 1: in the service only",
    ],
    "a unique cast of citext": [
        "shaped: UNIQUE (email :: text): in the service only",
        "shaped: UNIQUE (email): in the monolith only",
    ],
    "overloads": [
        "shaped: ok(character varying) is asked in the monolith only",
        "shaped: ok(text) is asked in the service only",
    ],
    "STRICT": ["shaped: fine(integer), which it asks, is another function in the service"],
}


def _drift(made: Yard, changes: tuple[str, str]) -> list[str]:
    for side, change in zip(("monolith", "service"), changes, strict=True):
        with made.side(side) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS ours CASCADE")
            connection.execute((TYPES + TABLE + ";" + change).encode())
    tables = ["shaped", "parent", "stay"] + (["cut"] if "TABLE cut" in changes[0] else [])
    with made.with_tables(*tables).working() as parts:
        return parts.replication.drift()


def test_what_lies_behind_a_rule_is_compared(ground: Yard) -> None:
    found = {name: _drift(ground, changes) for name, changes in UNLIKE.items()}

    assert [name for name, told in found.items() if not told] == []
    assert all(one.startswith(("shaped", "stay", "cut")) for told in found.values() for one in told)
    for name, told in TOLD.items():
        assert found[name] == told


def test_what_decides_nothing_is_not_told(ground: Yard) -> None:
    found = {name: _drift(ground, changes) for name, changes in ALIKE.items()}

    assert {name: told for name, told in found.items() if told} == {}
