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

-- Where a database is: a copy of it, and what was put back from a dump, are elsewhere.
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

-- Makes a ledger another one, of the place where it is now; by hand, once it is known that it is the one that goes on.
CREATE OR REPLACE FUNCTION strangler.claim_ledger() RETURNS uuid LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    new uuid;
BEGIN
    UPDATE strangler.ledger SET id = gen_random_uuid(), place = strangler.place() RETURNING id INTO new;
    UPDATE strangler.side SET ledger = new;
    RETURN new;
END $$;

-- The same ledger where the same database is elsewhere now: after pg_upgrade, by hand. Never in a copy: both would act.
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

-- Who may act on a move, and which `strangler serve` works: the session that has the right, until it ends.
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

-- For gateways' agents that are nothing else: whoever is a member reads what to route by, and says what is live.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'strangler_agent') THEN
        GRANT USAGE ON SCHEMA strangler TO strangler_agent;
        GRANT SELECT ON strangler.move TO strangler_agent;
        GRANT SELECT, INSERT, UPDATE, DELETE ON strangler.gateway TO strangler_agent;
    END IF;
END $$;
