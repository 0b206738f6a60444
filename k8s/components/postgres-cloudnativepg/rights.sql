-- The roles of one database, made or brought to what they should be; for a superuser. Can be run again and again.
--
-- app owns the tables and can do nothing else, mover moves them, agent reads what the gateways route by. The passwords are
-- in the settings roles.app, roles.mover and roles.agent of this session: a role without one is left alone. What the
-- superuser owned when the application still was one comes to whom it belongs.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;
SET client_min_messages = warning;
SET search_path = pg_catalog, pg_temp;
BEGIN;

DO $$
DECLARE
    wanted record;
BEGIN
    -- Two databases of one server may be at it at the same time. No advisory lock: anybody could keep that.
    LOCK TABLE pg_auth_members IN SHARE ROW EXCLUSIVE MODE;
    FOR wanted IN
        SELECT * FROM (VALUES ('app', 'NOREPLICATION'), ('mover', 'REPLICATION'), ('agent', 'NOREPLICATION'))
            AS known (name, attributes), LATERAL (SELECT current_setting('roles.' || name, true) AS password) AS given
        WHERE password <> ''
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
            EXECUTE format('CREATE ROLE %I', wanted.name);
        END IF;
        EXECUTE format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS %s PASSWORD %L',
                       wanted.name, wanted.attributes, wanted.password);
        EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), wanted.name);
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    -- Whoever is a member may read what the ledger says of the routes; the tool gives it the rights.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'strangler_agent') THEN
        CREATE ROLE strangler_agent NOLOGIN;
    END IF;
END $$;

DO $$
DECLARE
    extension text;
BEGIN
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN
        GRANT USAGE, CREATE ON SCHEMA public TO app;
        -- Who may create nothing in a database may create no extension either.
        FOR extension IN SELECT * FROM regexp_split_to_table(coalesce(current_setting('roles.extensions', true), ''), '[ ,]+')
                         WHERE regexp_split_to_table <> '' LOOP
            EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I SCHEMA public', extension);
        END LOOP;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mover') THEN
        EXECUTE format('GRANT CREATE ON DATABASE %I TO mover', current_database());
        GRANT pg_create_subscription TO mover WITH INHERIT TRUE;
        GRANT pg_read_all_stats TO mover WITH INHERIT TRUE;
        GRANT pg_checkpoint TO mover WITH INHERIT TRUE;
        GRANT SET ON PARAMETER session_replication_role TO mover;
        GRANT EXECUTE ON FUNCTION
            pg_replication_origin_create, pg_replication_origin_drop, pg_replication_origin_oid,
            pg_replication_origin_session_setup, pg_replication_origin_session_reset TO mover;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN
            GRANT app TO mover WITH INHERIT TRUE, SET TRUE;
        END IF;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'agent') THEN
        GRANT strangler_agent TO agent WITH INHERIT TRUE;
    END IF;
END $$;

-- Tables, sequences and the like, functions and types: the application's in every schema but the tool's.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        WITH place AS (
            SELECT n.oid, n.nspname, CASE n.nspname WHEN 'strangler' THEN 'mover' ELSE 'app' END AS heir
            FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        ), mine AS (
            SELECT 'SCHEMA' AS kind, format('%I', nspname) AS name, heir, oid, 'pg_namespace'::regclass AS catalog
            FROM place WHERE nspname <> 'public'
              AND (SELECT nspowner FROM pg_namespace n WHERE n.oid = place.oid) = quote_ident(current_user)::regrole
            UNION ALL
            SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                                  WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END,
                   format('%I.%I', nspname, c.relname), heir, c.oid, 'pg_class'::regclass
            FROM pg_class c JOIN place ON place.oid = c.relnamespace
            WHERE c.relowner = quote_ident(current_user)::regrole AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
              -- A column's own sequence goes with its table.
              AND NOT (c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                              AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass))
            UNION ALL
            SELECT 'ROUTINE', p.oid::regprocedure::text, heir, p.oid, 'pg_proc'::regclass
            FROM pg_proc p JOIN place ON place.oid = p.pronamespace WHERE p.proowner = quote_ident(current_user)::regrole
            UNION ALL
            SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, format('%I.%I', nspname, t.typname), heir, t.oid,
                   'pg_type'::regclass
            FROM pg_type t JOIN place ON place.oid = t.typnamespace
            WHERE t.typowner = quote_ident(current_user)::regrole AND t.typelem = 0
              AND (t.typtype IN ('d', 'e', 'r') OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
        )
        SELECT * FROM mine
        WHERE EXISTS (SELECT FROM pg_roles r WHERE r.rolname = heir)
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = catalog AND d.objid = mine.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO %I', one.kind, one.name, one.heir);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mover') THEN
        FOR one IN SELECT pubname AS name FROM pg_publication
                   WHERE pubowner = quote_ident(current_user)::regrole AND pubname LIKE 'strangler\_%' LOOP
            EXECUTE format('ALTER PUBLICATION %I OWNER TO mover', one.name);
        END LOOP;
        FOR one IN SELECT subname AS name FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
                   WHERE d.datname = current_database() AND subowner = quote_ident(current_user)::regrole
                     AND subname LIKE 'strangler\_%' LOOP
            EXECUTE format('ALTER SUBSCRIPTION %I OWNER TO mover', one.name);
        END LOOP;
    END IF;
    IF to_regclass('strangler.move') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA strangler TO strangler_agent;
        GRANT SELECT ON strangler.move TO strangler_agent;
        GRANT SELECT, INSERT, UPDATE, DELETE ON strangler.gateway TO strangler_agent;
    END IF;
END $$;

COMMIT;
