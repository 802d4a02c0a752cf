-- Group roles: a service's login role is made a member of one of them. Roles
-- belong to the cluster, so another database may have made them already. Where
-- neither they exist nor this user may make them, the grants are left out and
-- the services connect as the owner.
DO $$
DECLARE
    group_role text;
BEGIN
    FOREACH group_role IN ARRAY ARRAY['gold_writer', 'gold_reader'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = group_role) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', group_role);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL; -- made at the same time
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role % is missing and % may not make it: its grants are left out',
                    group_role, current_user;
                CONTINUE;
        END;
        EXECUTE format('GRANT USAGE ON SCHEMA gold TO %I', group_role);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA gold TO %I', group_role);
        IF group_role = 'gold_writer' THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA gold TO %I', group_role);
            EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON gold.schema_migrations FROM %I', group_role);
            EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA gold TO %I', group_role);
            EXECUTE format('GRANT EXECUTE ON FUNCTION gold.ensure_week TO %I', group_role);
        END IF;
    END LOOP;
END
$$;
