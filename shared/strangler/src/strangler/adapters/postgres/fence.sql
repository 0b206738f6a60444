-- Raises and removes the fences of a table; nothing else does. These functions are apart from the rest, so that a side
-- which an older version has installed can get them alone.

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
