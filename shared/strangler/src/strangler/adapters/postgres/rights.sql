-- Runs after all other scripts, for it holds for every function of the schema, whichever script has made it.
-- No function finds anything by a caller's search path, and no role may call a function that is not made for it. A
-- trigger needs no right to its function in order to fire; a role that makes a trigger of it does.
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

-- The functions that applications call; each of them reads the side's row, whatever its arguments are.
GRANT EXECUTE ON FUNCTION strangler.note_use(text), strangler.note_use(text, text, text, bigint) TO PUBLIC;
