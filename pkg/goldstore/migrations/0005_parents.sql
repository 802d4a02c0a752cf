-- Parents are folds of base rows over UTC hours and days. Beside a row's
-- statistics they hold what only base rows know: the greatest mean power, the
-- cadence of the last row with readings, the sum of revisions, the latest
-- change. fold_key names the parameters that the fold followed; epoch is the
-- greatest of the rows.
--
-- The hours of a day are written with the day, in one transaction, and hold as
-- long as it does: gold.days.stale speaks for both.
ALTER TABLE gold.hours
    ADD COLUMN peak       double precision, -- null: no row has a mean power
    ADD COLUMN peak_at_ns bigint,
    ADD COLUMN cadence_ns bigint NOT NULL,
    ADD COLUMN fold_key   bigint NOT NULL,
    DROP COLUMN stale;
ALTER TABLE gold.days
    ADD COLUMN peak       double precision,
    ADD COLUMN peak_at_ns bigint,
    ADD COLUMN cadence_ns bigint NOT NULL,
    ADD COLUMN fold_key   bigint NOT NULL;

-- Days of series that have changed since their parents were written: each such
-- day has its parents stale or missing. A flush adds, the roller takes out.
CREATE TABLE gold.changed_days (
    partition  integer     NOT NULL,
    day        timestamptz NOT NULL,
    series_id  bigint      NOT NULL,
    touched_at timestamptz NOT NULL DEFAULT now(), -- no earlier than this was the day quiet
    PRIMARY KEY (partition, day, series_id)
);

-- How often parents of a partition were written, and the last day that has any
-- (null: none has).
-- Writers of the partition read both to know what they may still believe to be
-- in gold.changed_days.
ALTER TABLE gold.generations
    ADD COLUMN rolls      bigint NOT NULL DEFAULT 0,
    ADD COLUMN rolled_day timestamptz;

-- Makes the partition of gold.hours for the quarter that begins at that
-- instant; false when there is one. See gold.ensure_week.
CREATE FUNCTION gold.ensure_quarter(quarter timestamptz) RETURNS boolean
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
    IF EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'gold.hours'::regclass
               AND inhrelid = to_regclass('gold.' || name)) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE gold.%I (LIKE gold.hours INCLUDING ALL)', name);
    EXECUTE format('ALTER TABLE gold.%I ADD CONSTRAINT attach CHECK (start >= %L AND start < %L)', name, quarter, until);
    EXECUTE format('ALTER TABLE gold.hours ATTACH PARTITION gold.%I FOR VALUES FROM (%L) TO (%L)', name, quarter, until);
    EXECUTE format('ALTER TABLE gold.%I DROP CONSTRAINT attach', name);
    RETURN true;
END
$$;
REVOKE EXECUTE ON FUNCTION gold.ensure_quarter FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_reader') THEN
        GRANT SELECT ON gold.changed_days TO gold_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON gold.changed_days TO gold_writer;
        GRANT EXECUTE ON FUNCTION gold.ensure_quarter TO gold_writer;
    END IF;
END
$$;
