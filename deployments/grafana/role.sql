-- The role by which Grafana reads gold, and can change nothing. Again changes its
-- password. psql --set=password=… --file=role.sql
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'grafana') THEN
        CREATE ROLE grafana LOGIN IN ROLE gold_reader;
    END IF;
END
$$;
ALTER ROLE grafana PASSWORD :'password';
-- A panel that asks for too much ends, and holds nothing up.
ALTER ROLE grafana SET statement_timeout = '1min';
