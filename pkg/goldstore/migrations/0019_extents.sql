-- The weeks, by their Mondays in UTC, of a series' first and last row: where its
-- readings begin and end is looked for there, and not in all partitions. They are
-- set with the rows and only grow apart: rows that are gone cost time, not truth.
LOCK TABLE gold.base IN SHARE ROW EXCLUSIVE MODE; -- what is being written is seen
ALTER TABLE gold.series
    ADD COLUMN first_week timestamptz, -- null: there is no row
    ADD COLUMN last_week  timestamptz;

UPDATE gold.series s
SET first_week = date_bin('7 days', b.first, '1970-01-05 00:00+00'),
    last_week = date_bin('7 days', b.last, '1970-01-05 00:00+00')
FROM (SELECT series_id, min(start) AS first, max(start) AS last FROM gold.base GROUP BY series_id) AS b
WHERE b.series_id = s.id;
