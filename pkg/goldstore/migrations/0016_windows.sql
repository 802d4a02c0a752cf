-- The width of a metric's base rows, from the first on that one of its series has.
-- Readings in rows of two widths would count twice: who writes rows of a metric
-- checks it, or sets it, in the same transaction.
CREATE TABLE gold.base_windows (
    metric text COLLATE "C" PRIMARY KEY,
    width  integer NOT NULL -- s
);

INSERT INTO gold.base_windows (metric, width)
SELECT m.metric, b.width
FROM (SELECT DISTINCT metric FROM gold.series) AS m
CROSS JOIN LATERAL (
    SELECT b.width FROM gold.series s JOIN gold.base b ON b.series_id = s.id WHERE s.metric = m.metric LIMIT 1
) AS b;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_reader') THEN
        GRANT SELECT ON gold.base_windows TO gold_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON gold.base_windows TO gold_writer;
    END IF;
END
$$;
