-- Comes after all other scripts: what holds for every function of the schema, whichever script has made it.
-- Nothing is found by a search path that a caller has set, and nobody calls what is not made for them. A trigger's
-- function needs no right to fire; whoever makes a trigger of it does.
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid FROM pg_catalog.pg_proc p
             WHERE p.pronamespace = 'strangler'::regnamespace AND p.prokind = 'f' AND NOT EXISTS (
                 SELECT FROM pg_catalog.unnest(p.proconfig) c WHERE c LIKE 'search\_path=%') LOOP
        EXECUTE pg_catalog.format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', f);
    END LOOP;
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA strangler FROM PUBLIC;

-- What applications call; each of these looks at the side row, whatever it is asked.
GRANT EXECUTE ON FUNCTION strangler.note_use(text) TO PUBLIC;
