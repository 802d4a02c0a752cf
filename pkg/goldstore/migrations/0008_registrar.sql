-- The role that may change the registry of entities. The query service offers
-- that in its API: its login role is a member of gold_reader and, where the API
-- is to change the registry, of this one. See 0004_roles.sql.
DO $$
BEGIN
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_registrar') THEN
            CREATE ROLE gold_registrar NOLOGIN;
        END IF;
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL; -- made at the same time
        WHEN insufficient_privilege THEN
            RAISE NOTICE 'role gold_registrar is missing and % may not make it: its grants are left out', current_user;
            RETURN;
    END;
    -- A lock on a table takes in what other sessions have committed, a role that
    -- was looked for and missed among it.
    LOCK TABLE gold.entities IN ACCESS SHARE MODE;
    GRANT USAGE ON SCHEMA gold TO gold_registrar;
    GRANT SELECT, INSERT, UPDATE, DELETE ON gold.entities TO gold_registrar;
END
$$;
CREATE INDEX entities_by_parent ON gold.entities (parent) WHERE parent IS NOT NULL;
