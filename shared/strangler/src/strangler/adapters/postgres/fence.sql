-- Locks tables, and raises and removes their fences; nothing else does. These functions are apart from the rest, so that
-- a side which an older version has installed can get them alone.

-- The order in which most transactions come to the tables: what is referred to before what refers to it, and a table
-- before its partitions. In plpgsql, for it keeps the plan of this query in the session.
CREATE OR REPLACE FUNCTION strangler.lock_order(tables text[]) RETURNS text[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN (
        WITH RECURSIVE listed AS (SELECT DISTINCT t AS name, to_regclass(t)::oid AS oid FROM unnest(tables) t),
        above AS (
            SELECT confrelid AS upper, conrelid AS lower FROM pg_constraint
            WHERE contype = 'f' AND conrelid <> confrelid AND conrelid IN (SELECT oid FROM listed)
            UNION SELECT inhparent, inhrelid FROM pg_inherits WHERE inhrelid IN (SELECT oid FROM listed)
        ),
        ranked (name, oid, depth) AS (
            SELECT name, oid, 0 FROM listed
            -- Tables that refer to each other in a circle would have no greatest depth.
            UNION SELECT l.name, l.oid, r.depth + 1 FROM ranked r JOIN above a ON a.upper = r.oid
            JOIN listed l ON l.oid = a.lower WHERE r.depth < least(cardinality(tables), 16)
        )
        SELECT array_agg(name ORDER BY depth, name) FROM (SELECT name, max(depth) AS depth FROM ranked GROUP BY name) r);
END $$;

-- Locks all of the tables in one statement of the caller, whose statement_timeout limits it. Transactions may come to
-- them in any order, and in several: so while it holds some of them, it waits only briefly for another. Then it lets all
-- go, and waits for that one first, with nothing in its hands. A transaction that has that one, and waits for one of the
-- others, goes on at once, and no session ever has to find a deadlock.
CREATE OR REPLACE FUNCTION strangler.lock_all(tables text[], mode text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = 0 AS $$
DECLARE
    ordered text[] := strangler.lock_order(tables);
    patience interval := interval '20 ms';
    until timestamptz;
    t text;
BEGIN
    LOOP
        BEGIN
            until := NULL;
            FOREACH t IN ARRAY ordered LOOP
                IF until IS NOT NULL THEN
                    PERFORM set_config('lock_timeout',
                        greatest(1, ceil(extract(epoch FROM until - clock_timestamp()) * 1000))::text, true);
                END IF;
                EXECUTE format('LOCK TABLE ONLY %s IN %s MODE', t, mode);
                until := coalesce(until, clock_timestamp() + patience);
            END LOOP;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            ordered := t || array_remove(ordered, t);
            -- Where writers never leave two tables alone, only a longer wait gets both.
            patience := 2 * patience;
        END;
    END LOOP;
END $$;

-- Makes all fences of one table, and replaces others of these names; `turn_fence` decides which of them fire.
CREATE OR REPLACE FUNCTION strangler.raise_fence(which text, t oid) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fence record;
BEGIN
    FOR fence IN
        SELECT * FROM (VALUES
            ('strangler_fence', 'INSERT OR UPDATE OR DELETE OR TRUNCATE', 'STATEMENT', 'refuse', 'write'),
            ('strangler_replica_truncate', 'TRUNCATE', 'STATEMENT', 'refuse', 'replicated truncate'),
            ('strangler_replica_fence', 'INSERT OR UPDATE OR DELETE', 'ROW', 'refuse', 'replicated row'),
            ('strangler_truncate', 'TRUNCATE', 'STATEMENT', 'refuse_truncate', NULL)
        ) AS fences (called, event, level, function, what)
        -- The rows are in the partitions, and each partition has a fence of its own.
        WHERE level = 'STATEMENT' OR EXISTS (SELECT FROM pg_class WHERE oid = t AND relkind = 'r')
    LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE %s ON %s FOR EACH %s EXECUTE FUNCTION strangler.%I(%s)',
            fence.called, fence.event, t::regclass, fence.level, fence.function,
            concat_ws(', ', quote_literal(which), quote_literal(fence.what)));
    END LOOP;
END $$;

-- Removes all fences of the tables, and all that the schema knows of the capability. Fences are found by function, for
-- somebody may have renamed one; a partition's fences go with its table's.
CREATE OR REPLACE FUNCTION strangler.remove_side(which text, tables oid[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fence record;
BEGIN
    FOR fence IN
        SELECT g.tgname, g.tgrelid FROM unnest(tables) t
        JOIN pg_trigger g ON g.tgrelid = t AND g.tgparentid = 0
        JOIN pg_proc p ON p.oid = g.tgfoid
        WHERE p.pronamespace = 'strangler'::regnamespace OR g.tgname IN
            ('strangler_fence', 'strangler_replica_truncate', 'strangler_replica_fence', 'strangler_truncate',
             'strangler_orphan')
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', fence.tgname, fence.tgrelid::regclass);
    END LOOP;
    DELETE FROM strangler.side WHERE capability = which;
    DELETE FROM strangler.marker WHERE capability = which;
    DELETE FROM strangler.orphan WHERE capability = which;
    DELETE FROM strangler.deferred WHERE capability = which;
    DELETE FROM strangler.swept WHERE capability = which;
    DELETE FROM strangler.used WHERE capability = which;
    -- An older version has not made these tables.
    IF to_regclass('strangler.secret') IS NOT NULL THEN
        DELETE FROM strangler.secret WHERE capability = which;
    END IF;
    IF to_regclass('strangler.stray') IS NOT NULL THEN
        DELETE FROM strangler.stray WHERE capability = which;
    END IF;
END $$;
