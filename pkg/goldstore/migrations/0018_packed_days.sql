-- A day of a series and its hours are folds of base rows, packed in two columns of
-- one row (see gold.AppendFolds): whoever reads days reads one, whoever reads hours
-- the other. They hold all that a row holds of its first and last reading, so that
-- days of registers and of power are kept too. fold_key names the parameters that
-- the folds followed.
--
-- They are derived: those of before are dropped, and all days that there are go
-- among those that wait to be folded.
LOCK TABLE gold.base IN SHARE ROW EXCLUSIVE MODE;
DROP TABLE gold.hours, gold.days;
DROP FUNCTION gold.ensure_quarter(timestamptz);

CREATE TABLE gold.days (
    series_id bigint      NOT NULL,
    start     timestamptz NOT NULL, -- midnight, UTC
    stale     boolean     NOT NULL DEFAULT false,
    fold_key  bigint      NOT NULL,
    day       bytea       NOT NULL,
    hours     bytea       NOT NULL,
    PRIMARY KEY (series_id, start)
) WITH (fillfactor = 90, toast_tuple_target = 8160);
ALTER TABLE gold.days
    ALTER COLUMN day SET STORAGE PLAIN,
    ALTER COLUMN hours SET STORAGE EXTERNAL;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_reader') THEN
        GRANT SELECT ON gold.days TO gold_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON gold.days TO gold_writer;
    END IF;
END
$$;

-- The partition of an entity: FNV-1a 32 of its id modulo the number of partitions,
-- which gold's positions tell.
CREATE FUNCTION pg_temp.partition_of(entity text, partitions bigint) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    h     bigint := 2166136261;
    bytes bytea := convert_to(entity, 'UTF8');
BEGIN
    FOR i IN 0 .. octet_length(bytes) - 1 LOOP
        h := ((h # get_byte(bytes, i)) * 16777619) & 4294967295;
    END LOOP;
    RETURN h % partitions;
END
$$;

INSERT INTO gold.changed_days (partition, day, series_id)
SELECT pg_temp.partition_of(s.entity, p.partitions), d.day, d.series_id
FROM (SELECT DISTINCT series_id, date_bin('1 day', start, 'epoch') AS day FROM gold.base) AS d
JOIN gold.series s ON s.id = d.series_id
CROSS JOIN (SELECT count(*) AS partitions FROM gold.positions WHERE stage = 'gold' HAVING count(*) = max(partition) + 1) AS p
ON CONFLICT DO NOTHING;
DROP FUNCTION pg_temp.partition_of(text, bigint);
