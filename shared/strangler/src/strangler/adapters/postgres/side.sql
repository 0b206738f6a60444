-- Lives in every database that takes part in a move. Additive: an older tool must survive it.
CREATE SCHEMA IF NOT EXISTS strangler;

-- One row per capability: whether it is open here, and at which epoch.
CREATE TABLE IF NOT EXISTS strangler.side (
    capability text PRIMARY KEY,
    side       text NOT NULL CHECK (side IN ('monolith', 'service')),
    epoch      bigint NOT NULL,
    open       boolean NOT NULL,
    prepared   bigint NOT NULL DEFAULT 0,
    bounce_to  text CHECK (bounce_to IN ('monolith', 'service')),
    peer_url   text,
    routes     jsonb NOT NULL DEFAULT '[]',
    tables     text[] NOT NULL DEFAULT '{}'
);

-- While true, new writes wait at the door: those under way end sooner, and the fence finds the tables free.
ALTER TABLE strangler.side ADD COLUMN IF NOT EXISTS pausing boolean NOT NULL DEFAULT false;

-- While true, a relay leaves this side's events where they are: the old owner's are not all out yet.
ALTER TABLE strangler.side ADD COLUMN IF NOT EXISTS events_held boolean NOT NULL DEFAULT false;

-- By table of the capability, the columns that tell which row is gone: its key, and all columns that something points
-- at.
ALTER TABLE strangler.side ADD COLUMN IF NOT EXISTS keys jsonb NOT NULL DEFAULT '{}';

-- The id of the ledger that has made the row: no other ledger acts on it. Empty if an older version has made it.
ALTER TABLE strangler.side ADD COLUMN IF NOT EXISTS ledger uuid;

-- Sequences that move although no column names them, quoted and with schema.
ALTER TABLE strangler.side ADD COLUMN IF NOT EXISTS sequences text[] NOT NULL DEFAULT '{}';

-- How both sides share the reads: {"epoch", "max_lag", "wait", "trusting"}, for that epoch alone. Empty: the owner answers
-- all of them.
ALTER TABLE strangler.side ADD COLUMN IF NOT EXISTS reads jsonb NOT NULL DEFAULT '{}';

-- Wakes the requests that are held for this side, and all other sessions that follow its state. It does not fire for
-- `prepared`, which matters only to the coordinator, nor for `pausing`: the fence comes at once.
CREATE OR REPLACE FUNCTION strangler.tell_side() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NOTIFY strangler_side;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER strangler_tell
    AFTER INSERT OR DELETE OR UPDATE OF side, epoch, open, bounce_to, peer_url, routes, tables, events_held
    ON strangler.side
    FOR EACH STATEMENT EXECUTE FUNCTION strangler.tell_side();

-- Written after a fence, on the fenced side; its arrival on the other side proves that all before it has arrived.
CREATE TABLE IF NOT EXISTS strangler.marker (
    capability text NOT NULL,
    id         uuid NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (capability, id)
);

-- Rows whose deletion arrived by a stream and whose dependants here wait for their clean-up.
CREATE TABLE IF NOT EXISTS strangler.orphan (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    capability text NOT NULL,
    table_name text NOT NULL,
    key        text NOT NULL,
    queued_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts   integer NOT NULL DEFAULT 0,
    retry_at   timestamptz NOT NULL DEFAULT '-infinity',
    error      text
);

-- Which columns had which values, and which partition had the row. `key` is filled only if nothing but a primary key of
-- one column is pointed at: an older sweep takes `key` for that column, and must fail in all other cases.
ALTER TABLE strangler.orphan ADD COLUMN IF NOT EXISTS columns jsonb;
ALTER TABLE strangler.orphan ADD COLUMN IF NOT EXISTS relation text;
ALTER TABLE strangler.orphan ALTER key DROP NOT NULL;

-- Clean-ups done, one counter per capability: what `status` and the metrics show.
CREATE TABLE IF NOT EXISTS strangler.swept (
    capability text PRIMARY KEY,
    rows       bigint NOT NULL DEFAULT 0
);

-- When a request last came to the routes of a side that no longer owns the capability; at first, when it gave it away.
CREATE TABLE IF NOT EXISTS strangler.used (
    capability text PRIMARY KEY,
    used_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Requests that wrote the capability here although the other side owns it, from routes that are not the capability's.
-- No such request can succeed. `doctor` names the routes.
CREATE TABLE IF NOT EXISTS strangler.stray (
    capability text NOT NULL,
    method     text NOT NULL,
    route      text NOT NULL,
    times      bigint NOT NULL,
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (capability, method, route)
);

-- Indexes and constraints that were removed for the first copy; kept here until they are back.
CREATE TABLE IF NOT EXISTS strangler.deferred (
    capability text NOT NULL,
    position   integer NOT NULL,
    name       text NOT NULL,
    definition text NOT NULL,
    PRIMARY KEY (capability, name)
);

-- The secret with which the two sides of a move sign what they ask each other. Both sides have the same; only the roles
-- that own the moved tables may read it. It counts only at the place (server and database) where it was written: the
-- applications of a copied database must not ask the peers of the original for anything.
CREATE TABLE IF NOT EXISTS strangler.secret (
    capability text PRIMARY KEY,
    secret     text NOT NULL,
    place      text NOT NULL
);
REVOKE ALL ON strangler.secret FROM PUBLIC;

GRANT USAGE ON SCHEMA strangler TO PUBLIC;
GRANT SELECT ON strangler.side, strangler.marker, strangler.swept TO PUBLIC;

-- Both fences call this. Argument 0 is the capability, argument 1 what was refused: a local write if the side is
-- closed, or a streamed change if it is open. A local write also raises a warning, whatever messages the session wants:
-- a warning reaches the application also where a function in the database swallows the error.
CREATE OR REPLACE FUNCTION strangler.refuse() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
    is_local CONSTANT boolean := TG_ARGV[1] = 'write';
BEGIN
    IF is_local THEN
        RAISE WARNING USING ERRCODE = 'SF001', MESSAGE = format('%s is not open here', TG_ARGV[0]), DETAIL = TG_ARGV[0];
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'SF001',
        MESSAGE = format('%s is %s here: %s on %I.%I refused', TG_ARGV[0],
            CASE WHEN is_local THEN 'not open' ELSE 'open' END, TG_ARGV[1], TG_TABLE_SCHEMA, TG_TABLE_NAME),
        DETAIL = TG_ARGV[0],
        HINT = CASE WHEN is_local THEN 'The other side owns this capability; see `strangler status`.'
            ELSE 'This side owns the capability: somebody has changed the copy by hand.' END,
        SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$;

-- Stands on both sides as long as there are streams, for streams carry no TRUNCATE.
CREATE OR REPLACE FUNCTION strangler.refuse_truncate() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'SF003',
        MESSAGE = format('%s is being moved: TRUNCATE of %I.%I refused', TG_ARGV[0], TG_TABLE_SCHEMA, TG_TABLE_NAME),
        DETAIL = TG_ARGV[0],
        HINT = 'The other side would keep the rows. Use DELETE, or cancel the move first.',
        SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$;

-- Notes a request to the routes of a side that no longer owns the capability. Applications call it, and have no other
-- right to change anything in this schema. Any role may call it, and may leave its note uncommitted: so nobody waits
-- for a note, and a session that asks when the last request came takes an uncommitted note for a request of now.
CREATE OR REPLACE FUNCTION strangler.note_use(which text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM strangler.side s WHERE s.capability = which AND NOT s.open) THEN
        RETURN;
    END IF;
    PERFORM FROM strangler.used u WHERE u.capability = which FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE strangler.used SET used_at = clock_timestamp() WHERE capability = which;
    ELSIF NOT EXISTS (SELECT FROM strangler.used u WHERE u.capability = which) THEN
        INSERT INTO strangler.used (capability) VALUES (which) ON CONFLICT DO NOTHING;
    END IF;
EXCEPTION WHEN lock_not_available THEN
    NULL;
END $$;

-- Notes such a request. The same holds of who may call it. A capability has a hundred notes at most: a new one takes the
-- place of one that is a week old, or is left out. It has the name of the function above, because an older version of
-- the tool refuses to work where all may execute a function of another name.
CREATE OR REPLACE FUNCTION strangler.note_use(which text, verb text, path text, more bigint) RETURNS void
LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    called CONSTANT text := left(verb, 16);
    way    CONSTANT text := left(path, 300);
    added  CONSTANT bigint := greatest(1, least(more, 1000000));
BEGIN
    IF NOT EXISTS (SELECT FROM strangler.side s
                   WHERE s.capability = which AND NOT s.open AND s.bounce_to IS NOT NULL) THEN
        RETURN;
    END IF;
    PERFORM FROM strangler.stray s WHERE s.capability = which AND s.method = called AND s.route = way
        FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE strangler.stray s SET times = least(s.times, 1000000000000) + added, seen_at = clock_timestamp()
        WHERE s.capability = which AND s.method = called AND s.route = way;
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM strangler.stray s WHERE s.capability = which AND s.method = called AND s.route = way) THEN
        RETURN;
    END IF;
    DELETE FROM strangler.stray WHERE ctid = ANY (ARRAY(
        SELECT s.ctid FROM strangler.stray s
        WHERE s.capability = which AND s.seen_at < clock_timestamp() - interval '7 days' FOR UPDATE SKIP LOCKED));
    IF (SELECT count(*) FROM strangler.stray s WHERE s.capability = which) < 100 THEN
        INSERT INTO strangler.stray (capability, method, route, times) VALUES (which, called, way, added)
        ON CONFLICT DO NOTHING;
    END IF;
EXCEPTION WHEN lock_not_available THEN
    NULL;
END $$;

-- Fires only for rows that a stream deletes; the clean-up itself runs in an ordinary session (see the sweep).
-- A stream applies changes as the table's owner, which may have no rights in this schema. The trigger's arguments are
-- not trusted, for any role may make a trigger on a table of its own: the side's row says which capability has the
-- table, and what to note. Values are written by their types' output functions, for a cast to text or to json can be
-- anybody's, and no code of the table's owner may run with the rights of this function.
CREATE OR REPLACE FUNCTION strangler.queue_orphan() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC' SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET bytea_output = 'hex'
SET extra_float_digits = 1 AS $$
DECLARE
    root CONSTANT oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
    which text;
    plain text;
    wanted jsonb;
    written text;
    gone jsonb;
BEGIN
    SELECT s.capability, CASE WHEN n.nspname = 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END,
           s.keys -> format('%I.%I', n.nspname, c.relname)
    INTO which, plain, wanted
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN strangler.side s ON format('%I.%I', n.nspname, c.relname) = ANY (s.tables)
    WHERE c.oid = root;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SF004',
            MESSAGE = format('%I.%I is no table that is being moved: nothing is queued', TG_TABLE_SCHEMA, TG_TABLE_NAME),
            HINT = 'Drop this trigger: only the tool makes it.',
            SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    IF wanted IS NULL THEN
        -- An older version of the tool began this move, and has noted no columns.
        SELECT jsonb_agg(a.attname) INTO wanted FROM pg_attribute a
        WHERE a.attrelid = root AND a.attnum > 0 AND (
            EXISTS (SELECT FROM pg_index i WHERE i.indrelid = root AND i.indisprimary AND a.attnum = ANY (i.indkey))
            OR EXISTS (SELECT FROM pg_constraint k
                       WHERE k.contype = 'f' AND k.confrelid = root AND a.attnum = ANY (k.confkey)));
    END IF;
    SELECT string_agg(format('%1$L, CASE WHEN num_nonnulls(($1).%1$I) = 1 THEN format(''%%s'', ($1).%1$I) END', a.attname), ', ')
    INTO written
    FROM pg_attribute a WHERE a.attrelid = TG_RELID AND NOT a.attisdropped AND wanted ? a.attname;
    EXECUTE format('SELECT jsonb_build_object(%s)', written) INTO gone USING OLD;
    INSERT INTO strangler.orphan (capability, table_name, key, columns, relation)
    VALUES (which, plain,
            CASE WHEN jsonb_array_length(wanted) = 1 THEN gone ->> (wanted ->> 0) END,
            gone, format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME));
    PERFORM pg_notify('strangler_orphan', which);
    RETURN OLD;
END $$;

-- The sweep needs the keys of deleted rows, and runs as the tables' owner. The owner gets only the rights that the
-- sweep needs, and the right to make partitions, which have the trigger, too. Where an older version began the move,
-- the owner has all rights already.
CREATE OR REPLACE FUNCTION strangler.let_sweep(owner name) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF owner = (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'strangler.orphan'::regclass) THEN
        RETURN;
    END IF;
    EXECUTE format('REVOKE UPDATE ON strangler.orphan FROM %I', owner);
    EXECUTE format('GRANT SELECT, DELETE, UPDATE (attempts, retry_at, error) ON strangler.orphan TO %I', owner);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON strangler.swept TO %I', owner);
    EXECUTE format('GRANT EXECUTE ON FUNCTION strangler.queue_orphan() TO %I', owner);
END $$;
REVOKE EXECUTE ON FUNCTION strangler.queue_orphan(), strangler.let_sweep(name) FROM PUBLIC;
REVOKE ALL ON strangler.orphan FROM PUBLIC;
DO $$
DECLARE
    holder name;
BEGIN
    FOR holder IN
        SELECT DISTINCT r.rolname FROM pg_catalog.pg_class c
        CROSS JOIN pg_catalog.aclexplode(c.relacl) a JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
        WHERE c.oid = 'strangler.orphan'::pg_catalog.regclass AND a.privilege_type = 'DELETE' AND r.oid <> c.relowner
    LOOP
        PERFORM strangler.let_sweep(holder);
    END LOOP;
END $$;

-- Turns the two fences of a table the right way round for an open or a closed side.
CREATE OR REPLACE FUNCTION strangler.turn_fence(t text, opened boolean) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    replica CONSTANT text := CASE WHEN opened THEN 'ENABLE REPLICA' ELSE 'DISABLE' END;
    leaf boolean;
BEGIN
    SELECT relkind = 'r' INTO leaf FROM pg_class WHERE oid = t::regclass;
    EXECUTE format(
        'ALTER TABLE %s %s TRIGGER strangler_fence, %s TRIGGER strangler_replica_truncate',
        t,
        CASE WHEN opened THEN 'DISABLE' ELSE 'ENABLE' END,
        replica) || CASE WHEN leaf THEN format(', %s TRIGGER strangler_replica_fence', replica) ELSE '' END;
END $$;

-- The same for every table of a capability.
CREATE OR REPLACE FUNCTION strangler.turn_fences(which text, opened boolean) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY (SELECT tables FROM strangler.side WHERE capability = which) LOOP
        -- A partition that was dropped needs no fence; a name without schema that names no table is an error.
        CONTINUE WHEN to_regclass(t) IS NULL AND cardinality(parse_ident(t)) > 1;
        PERFORM strangler.turn_fence(t, opened);
    END LOOP;
END $$;

-- A table without rows, on which a session practises a fence before it has to do one in a pause.
CREATE TABLE IF NOT EXISTS strangler.drill (id integer);
CREATE OR REPLACE TRIGGER strangler_fence BEFORE INSERT ON strangler.drill
    FOR EACH STATEMENT EXECUTE FUNCTION strangler.refuse('drill', 'write');
CREATE OR REPLACE TRIGGER strangler_replica_truncate BEFORE TRUNCATE ON strangler.drill
    FOR EACH STATEMENT EXECUTE FUNCTION strangler.refuse('drill', 'replicated truncate');
CREATE OR REPLACE TRIGGER strangler_replica_fence BEFORE INSERT ON strangler.drill
    FOR EACH ROW EXECUTE FUNCTION strangler.refuse('drill', 'replicated row');

-- Locks all tables of a capability for a fence or a lift.
CREATE OR REPLACE FUNCTION strangler.lock_tables(which text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM strangler.lock_all(
        ARRAY(SELECT t FROM strangler.side, unnest(tables) t
              WHERE capability = which AND (to_regclass(t) IS NOT NULL OR cardinality(parse_ident(t)) = 1)),
        'SHARE ROW EXCLUSIVE');
END $$;

-- Fences an owner: from open at `expected` to closed at `target`, or not at all.
CREATE OR REPLACE FUNCTION strangler.close_side(which text, expected bigint, target bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM strangler.lock_tables(which);
    UPDATE strangler.side SET open = false, epoch = target, bounce_to = NULL, pausing = false, events_held = false
    WHERE capability = which AND open AND epoch = expected;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'SF002',
            MESSAGE = format('%s is not open here at epoch %s', which, expected);
    END IF;
    PERFORM strangler.turn_fences(which, false);
END $$;

-- Lifts a side to open at `target`; refused when it is ahead, or already open at another epoch.
-- With `hold_events` its events wait for the old owner's, from the first write on.
CREATE OR REPLACE FUNCTION strangler.open_side(which text, target bigint, hold_events boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM strangler.lock_tables(which);
    UPDATE strangler.side
    SET open = true, epoch = target, bounce_to = NULL, pausing = false, events_held = hold_events
    WHERE capability = which AND NOT open AND epoch <= target;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'SF002',
            MESSAGE = format('%s cannot be opened here at epoch %s', which, target);
    END IF;
    PERFORM strangler.turn_fences(which, true);
END $$;

-- The same without events; older versions of the tool call it, too.
CREATE OR REPLACE FUNCTION strangler.open_side(which text, target bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM strangler.open_side(which, target, false);
END $$;

-- The way back from a fence, or from an intent that never fenced: open at `target` in either case.
CREATE OR REPLACE FUNCTION strangler.lift_side(which text, target bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE strangler.side SET epoch = target, pausing = false WHERE capability = which AND open AND epoch < target;
    IF FOUND OR EXISTS (SELECT FROM strangler.side WHERE capability = which AND open AND epoch = target) THEN
        RETURN;
    END IF;
    PERFORM strangler.open_side(which, target);
END $$;

-- The sequences that number columns of a capability's tables (a column owns them, or its default uses them), and those
-- that strangler.toml names. In plpgsql, for it keeps the plan of this query in the session, from the first call on:
-- planning it takes longer than all else in the pause.
CREATE OR REPLACE FUNCTION strangler.sequences(which text)
RETURNS TABLE (place text, relation regclass, attribute name, whole boolean, sequence regclass) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname)
               -- If a column has several sequences, each has its own place.
               || CASE WHEN count(*) OVER (PARTITION BY c.oid, a.attnum) > 1
                       THEN format(' from %I.%I', sn.nspname, s.relname) ELSE '' END,
           c.oid::regclass, a.attname, a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype), s.oid::regclass
    FROM strangler.side, unnest(tables) t
    JOIN pg_class c ON c.oid = to_regclass(t) AND NOT c.relispartition
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN LATERAL (
        SELECT d.objid AS used FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
          AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i')
        UNION
        SELECT d.refobjid FROM pg_attrdef f
        JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass
        WHERE f.adrelid = c.oid AND f.adnum = a.attnum
    ) u
    JOIN pg_class s ON s.oid = u.used AND s.relkind = 'S'
    JOIN pg_namespace sn ON sn.oid = s.relnamespace
    WHERE capability = which
    UNION ALL
    SELECT 'sequence ' || named, NULL, NULL, false, to_regclass(named) FROM strangler.side, unnest(sequences) named
    WHERE capability = which AND to_regclass(named) IS NOT NULL;
END $$;

-- The last value that a sequence has given out; the value before its first if it has given out none.
CREATE OR REPLACE FUNCTION strangler.reached(sequence regclass) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    step CONSTANT bigint := (SELECT seqincrement FROM pg_sequence WHERE seqrelid = sequence);
    value numeric;
BEGIN
    EXECUTE format('SELECT CASE WHEN is_called THEN last_value ELSE last_value::numeric - %s END FROM %s', step, sequence)
    INTO value;
    -- There is no number before the outermost ones.
    RETURN CASE WHEN value BETWEEN -9223372036854775808 AND 9223372036854775807 THEN value ELSE value + step END;
END $$;

-- How far each sequence has come, by its place ("schema.table.column"): the next owner must not fall behind this.
CREATE OR REPLACE FUNCTION strangler.sequence_positions(which text) RETURNS jsonb LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(place, strangler.reached(sequence)), '{}') FROM strangler.sequences(which));
END $$;

-- The marker and the sequences' positions in one round trip; a plain insert, for an upsert of a row that the other
-- side lacks never arrives.
CREATE OR REPLACE FUNCTION strangler.mark(which text, marker uuid) RETURNS jsonb LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO strangler.marker (capability, id) VALUES (which, marker);
    RETURN strangler.sequence_positions(which);
END $$;

-- Moves sequences past all numbers that either side has given out, in the direction and in the steps in which each
-- counts on the owner: a sequence that counts by two, because another system has the numbers in between, never gives
-- out one of those. A sequence that cycles gives out its numbers again: it goes on where the other side has left it,
-- whatever the rows say.
CREATE OR REPLACE FUNCTION strangler.advance_sequences(which text, positions jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    numbered record;
    present bigint;
    base bigint;
    furthest bigint;
    wanted numeric;
BEGIN
    FOR numbered IN
        SELECT n.*, q.seqincrement AS step, q.seqcycle AS cycling, q.seqmin AS least, q.seqmax AS most
        FROM strangler.sequences(which) n JOIN pg_sequence q ON q.seqrelid = n.sequence
    LOOP
        present := strangler.reached(numbered.sequence);
        base := coalesce((positions ->> numbered.place)::bigint, present);
        furthest := CASE WHEN numbered.cycling THEN base WHEN numbered.step > 0 THEN greatest(base, present)
                         ELSE least(base, present) END;
        IF numbered.whole AND NOT numbered.cycling THEN
            -- The sequence can never give out the number of a row beyond its range.
            EXECUTE format('SELECT %s(%L::bigint, %s(%I)) FROM %s WHERE %I BETWEEN %s AND %s',
                CASE WHEN numbered.step > 0 THEN 'greatest' ELSE 'least' END, furthest,
                CASE WHEN numbered.step > 0 THEN 'max' ELSE 'min' END, numbered.attribute, numbered.relation,
                numbered.attribute, numbered.least, numbered.most) INTO furthest;
        END IF;
        wanted := base + div(furthest::numeric - base, numbered.step) * numbered.step;
        IF wanted = present THEN
            CONTINUE;
        ELSIF wanted BETWEEN numbered.least AND numbered.most THEN
            PERFORM setval(numbered.sequence, wanted::bigint);
        ELSE
            PERFORM setval(numbered.sequence, (wanted + numbered.step)::bigint, false);
        END IF;
    END LOOP;
END $$;

-- The same, and notes that this side is ready for `target`.
CREATE OR REPLACE FUNCTION strangler.prepare_side(which text, target bigint, positions jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- First, for a rolled back transaction does not undo changes to sequences.
    UPDATE strangler.side SET prepared = target WHERE capability = which AND NOT open AND epoch <= target;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'SF002',
            MESSAGE = format('%s cannot be prepared here for epoch %s', which, target);
    END IF;
    PERFORM strangler.advance_sequences(which, positions);
END $$;

-- Before the pause, compiles, plans and reads from the catalogue all that this session will need in the pause. On a
-- closed side it moves sequences that are behind the rows, as the switch would.
CREATE OR REPLACE FUNCTION strangler.warm(which text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY coalesce((SELECT tables FROM strangler.side WHERE capability = which), '{}') LOOP
        CONTINUE WHEN to_regclass(t) IS NULL;
        EXECUTE format('SELECT FROM %s LIMIT 0', t);
    END LOOP;
    UPDATE strangler.side SET pausing = pausing WHERE false;
    PERFORM strangler.lock_order((SELECT tables FROM strangler.side WHERE capability = which));
    PERFORM strangler.lock_all('{strangler.drill}', 'SHARE ROW EXCLUSIVE');
    PERFORM strangler.turn_fence('strangler.drill', true);
    PERFORM strangler.sequence_positions(which);
    IF EXISTS (SELECT FROM strangler.side WHERE capability = which AND NOT open) THEN
        PERFORM strangler.advance_sequences(which, '{}');
    END IF;
END $$;
