-- What catalogues say of their metrics, for the functions that answer in SQL.
-- Who registers an epoch writes its rows; the empty name is what holds for
-- metrics that the catalogue does not declare. Names of kinds and integrations
-- are those of the catalogue's document; limits of 0 are not declared.
CREATE TABLE gold.metrics (
    epoch         bigint           NOT NULL REFERENCES gold.epochs (number),
    metric        text COLLATE "C" NOT NULL,
    kind          text             NOT NULL,
    integrate     text             NOT NULL,
    unit          text             NOT NULL,
    energy_unit   text             NOT NULL, -- empty: no energy
    power_unit    text             NOT NULL, -- empty: no power
    description   text             NOT NULL,
    base_window   integer          NOT NULL, -- seconds
    cadence_ns    bigint           NOT NULL,
    max_gap_ns    bigint           NOT NULL,
    max_rate      double precision NOT NULL, -- in unit an hour
    rollover      double precision NOT NULL,
    dip_tolerance double precision NOT NULL,
    reset_to_zero boolean          NOT NULL,
    PRIMARY KEY (epoch, metric)
);

-- The metrics of the catalogue in force, which is the one of the greatest
-- epoch. Paired metrics account for the time between two readings.
CREATE VIEW gold.metrics_in_force AS
SELECT m.*, m.kind = 'register' OR m.kind = 'gauge' AND m.integrate IN ('linear', 'step') AS paired
FROM gold.metrics m
WHERE m.epoch = (SELECT max(number) FROM gold.epochs);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_reader') THEN
        GRANT SELECT ON gold.metrics, gold.metrics_in_force TO gold_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON gold.metrics TO gold_writer;
        GRANT SELECT ON gold.metrics_in_force TO gold_writer;
    END IF;
END
$$;
