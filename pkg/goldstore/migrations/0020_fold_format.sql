-- Times in packed folds are written otherwise (see gold.AppendFolds), so that those of
-- before are not read any more: all days go among those that wait to be folded.

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
SELECT pg_temp.partition_of(s.entity, p.partitions), d.start, d.series_id
FROM gold.days d
JOIN gold.series s ON s.id = d.series_id
CROSS JOIN (SELECT count(*) AS partitions FROM gold.positions WHERE stage = 'gold' HAVING count(*) = max(partition) + 1) AS p
ON CONFLICT DO NOTHING;
DROP FUNCTION pg_temp.partition_of(text, bigint);
