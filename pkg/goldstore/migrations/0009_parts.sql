-- The versions of base rows that are too full to be rewritten whole with each
-- change. Such a row has empty samples and stamps, and its versions here, in
-- parts of its span. Its statistics are those of the whole row.
CREATE TABLE gold.parts (
    series_id  bigint      NOT NULL,
    start      timestamptz NOT NULL, -- of the row
    width      integer     NOT NULL, -- of the row, seconds
    part_start timestamptz NOT NULL,
    part_width integer     NOT NULL, -- seconds
    samples    bytea       NOT NULL,
    stamps     bytea       NOT NULL,
    PRIMARY KEY (series_id, start, width, part_start)
) PARTITION BY RANGE (start);
ALTER TABLE gold.parts ALTER COLUMN samples SET STORAGE EXTERNAL;
ALTER TABLE gold.parts ALTER COLUMN stamps SET STORAGE EXTERNAL;

-- As in 0003_weeks.sql, for gold.base and gold.parts; true when it made either.
CREATE OR REPLACE FUNCTION gold.ensure_week(monday timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    week text := to_char(monday, 'IYYY"w"IW');
    bounds text := format('start >= %L AND start < %L', monday, monday + interval '7 days');
    parent text;
    name text;
    made boolean := false;
BEGIN
    IF monday <> date_trunc('week', monday) THEN
        RAISE EXCEPTION '% is no Monday 00:00 UTC', monday;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('gold.ensure_week', 0));
    FOREACH parent IN ARRAY ARRAY['base', 'parts'] LOOP
        name := parent || '_' || week;
        CONTINUE WHEN EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
                              WHERE inhparent = format('gold.%I', parent)::regclass AND c.relname = name);
        EXECUTE format('CREATE TABLE gold.%I (LIKE gold.%I INCLUDING ALL) WITH (fillfactor = %s)', name, parent,
                       CASE parent WHEN 'base' THEN 70 ELSE 100 END); -- parts are replaced, not updated
        EXECUTE format('ALTER TABLE gold.%I ALTER samples SET STORAGE EXTERNAL, ALTER stamps SET STORAGE EXTERNAL,'
                       ' ADD CONSTRAINT attach CHECK (%s)', name, bounds);
        EXECUTE format('ALTER TABLE gold.%I ATTACH PARTITION gold.%I FOR VALUES FROM (%L) TO (%L)',
                       parent, name, monday, monday + interval '7 days');
        EXECUTE format('ALTER TABLE gold.%I DROP CONSTRAINT attach', name);
        made := true;
    END LOOP;
    RETURN made;
END
$$;

SELECT gold.ensure_week(to_date(substr(c.relname, 6), 'IYYY"w"IW')::timestamp AT TIME ZONE 'UTC')
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'gold.base'::regclass;

-- A row that is stored in parts is listed without versions, and each of its
-- parts without statistics.
CREATE OR REPLACE VIEW gold.content AS
SELECT s.entity, s.metric, s.unit, b.start, b.width,
       b.count, b.sum, b.min, b.min_at_ns, b.max, b.max_at_ns,
       b.first, b.first_at_ns, b.last, b.last_at_ns,
       b.squared_deviations, b.energy, b.advance, b.covered_ns,
       b.gaps, b.resets, b.exchanges, b.estimated_count, b.corrected_count,
       b.estimated_energy, b.corrected_energy,
       b.flags, b.first_quality, b.last_quality, b.epoch, b.samples, b.stamps,
       b.reach_ns, b.head_until_ns, b.tail_since_ns, b.overlapping, b.spikes, b.jumps
FROM gold.base b
JOIN gold.series s ON s.id = b.series_id
UNION ALL
SELECT s.entity, s.metric, s.unit, p.part_start, p.part_width,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, p.samples, p.stamps,
       NULL, NULL, NULL, NULL, NULL, NULL
FROM gold.parts p
JOIN gold.series s ON s.id = p.series_id;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_reader') THEN
        GRANT SELECT ON gold.parts TO gold_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON gold.parts TO gold_writer;
    END IF;
END
$$;
