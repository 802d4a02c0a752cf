-- Makes the partition of gold.base for the week that begins at that Monday
-- 00:00 UTC; false when there is one.
--
-- The table is made on its own, then attached: with its CHECK in place this
-- needs no scan and locks out neither readers nor writers of other weeks. It
-- runs with its owner's rights, since only the owner of gold.base may attach.
CREATE FUNCTION gold.ensure_week(monday timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    name text := 'base_' || to_char(monday, 'IYYY"w"IW');
    bounds text := format('start >= %L AND start < %L', monday, monday + interval '7 days');
BEGIN
    IF monday <> date_trunc('week', monday) THEN
        RAISE EXCEPTION '% is no Monday 00:00 UTC', monday;
    END IF;
    -- One maker at a time; who waited sees what the other has made, by a scan:
    -- a look-up by name may come from a cache that is older than the lock.
    PERFORM pg_advisory_xact_lock(hashtextextended('gold.ensure_week', 0));
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
               WHERE inhparent = 'gold.base'::regclass AND c.relname = name) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE gold.%I (LIKE gold.base INCLUDING ALL) WITH (fillfactor = 70)', name);
    EXECUTE format('ALTER TABLE gold.%I ALTER samples SET STORAGE EXTERNAL, ALTER stamps SET STORAGE EXTERNAL,'
                   ' ADD CONSTRAINT attach CHECK (%s)', name, bounds);
    EXECUTE format('ALTER TABLE gold.base ATTACH PARTITION gold.%I FOR VALUES FROM (%L) TO (%L)',
                   name, monday, monday + interval '7 days');
    EXECUTE format('ALTER TABLE gold.%I DROP CONSTRAINT attach', name);
    RETURN true;
END
$$;
REVOKE EXECUTE ON FUNCTION gold.ensure_week FROM PUBLIC;
