-- As in 0005_parents.sql, but who waited for another maker sees what that has
-- made by a scan, as in gold.ensure_week: a look-up by name may come from a cache
-- that is older than the lock.
CREATE OR REPLACE FUNCTION gold.ensure_quarter(quarter timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    name text := 'hours_' || to_char(quarter, 'YYYY"q"Q');
    until timestamptz := quarter + interval '3 months';
BEGIN
    IF quarter <> date_trunc('quarter', quarter) THEN
        RAISE EXCEPTION '% is no start of a quarter in UTC', quarter;
    END IF;
    IF EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'gold.hours'::regclass
               AND inhrelid = to_regclass('gold.' || name)) THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('gold.ensure_quarter', 0));
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
               WHERE inhparent = 'gold.hours'::regclass AND c.relname = name) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE gold.%I (LIKE gold.hours INCLUDING ALL)', name);
    EXECUTE format('ALTER TABLE gold.%I ADD CONSTRAINT attach CHECK (start >= %L AND start < %L)', name, quarter, until);
    EXECUTE format('ALTER TABLE gold.hours ATTACH PARTITION gold.%I FOR VALUES FROM (%L) TO (%L)', name, quarter, until);
    EXECUTE format('ALTER TABLE gold.%I DROP CONSTRAINT attach', name);
    RETURN true;
END
$$;
