-- Lives in the monolith's database only. Additive: an older tool must survive it.
CREATE TABLE IF NOT EXISTS strangler.move (
    capability text PRIMARY KEY,
    state      text NOT NULL,
    epoch      bigint NOT NULL DEFAULT 0,
    owner      text NOT NULL CHECK (owner IN ('monolith', 'service')),
    intent     text,
    step       text,
    facts      jsonb NOT NULL DEFAULT '{}',
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The place of a database: a copy of it, and a database that was restored from a dump, have another place.
CREATE OR REPLACE FUNCTION strangler.place() RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s/%s', c.system_identifier, d.oid) FROM pg_control_system() c, pg_database d
    WHERE d.datname = current_database()
$$;

-- One row: which ledger this is, and where it was made.
CREATE TABLE IF NOT EXISTS strangler.ledger (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    id    uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    place text NOT NULL
);
INSERT INTO strangler.ledger (place) VALUES (strangler.place()) ON CONFLICT DO NOTHING;

-- Gives a ledger a new id, and makes its present place its home. Called by hand, once it is known that this ledger is
-- the one that goes on.
CREATE OR REPLACE FUNCTION strangler.claim_ledger() RETURNS uuid LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    new uuid;
BEGIN
    UPDATE strangler.ledger SET id = gen_random_uuid(), place = strangler.place() RETURNING id INTO new;
    UPDATE strangler.side SET ledger = new;
    RETURN new;
END $$;

-- Keeps the id of a ledger whose database has another place now. Called by hand after pg_upgrade, and never in a copy,
-- for then both would act.
CREATE OR REPLACE FUNCTION strangler.ledger_upgraded() RETURNS uuid LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
    UPDATE strangler.ledger SET place = strangler.place() RETURNING id
$$;

CREATE TABLE IF NOT EXISTS strangler.history (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    who        text NOT NULL DEFAULT current_user,
    capability text NOT NULL,
    what       text NOT NULL,
    epoch      bigint,
    took_ms    double precision,
    details    jsonb NOT NULL DEFAULT '{}'
);

-- What each gateway agent has live: {"capability": epoch}.
CREATE TABLE IF NOT EXISTS strangler.gateway (
    agent   text PRIMARY KEY,
    epochs  jsonb NOT NULL DEFAULT '{}',
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Which session may act on a move, and which `strangler serve` works: the session has this right until it ends.
CREATE TABLE IF NOT EXISTS strangler.lease (
    name   text PRIMARY KEY,
    pid    integer,
    began  timestamptz,
    holder text NOT NULL DEFAULT ''
) WITH (fillfactor = 50);

CREATE OR REPLACE FUNCTION strangler.tell() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NOTIFY strangler_ledger;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER strangler_tell AFTER INSERT OR UPDATE OR DELETE ON strangler.move
    FOR EACH STATEMENT EXECUTE FUNCTION strangler.tell();

-- For roles that are only gateways' agents: a member reads by what to route, and says what is live.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'strangler_agent') THEN
        GRANT USAGE ON SCHEMA strangler TO strangler_agent;
        GRANT SELECT ON strangler.move TO strangler_agent;
        GRANT SELECT, INSERT, UPDATE, DELETE ON strangler.gateway TO strangler_agent;
    END IF;
END $$;
