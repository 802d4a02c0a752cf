-- How far a batch run has worked through a partition: the last row, in the order of
-- series id and start, and what was done up to it. It moves in the transaction that
-- writes the rows.
CREATE TABLE gold.batch_parts (
    batch     text    NOT NULL REFERENCES gold.batches (id) ON DELETE CASCADE,
    partition integer NOT NULL,
    series_id bigint  NOT NULL, -- −1 before the first row
    start_ns  bigint  NOT NULL,
    tally     jsonb   NOT NULL DEFAULT '{}',
    PRIMARY KEY (batch, partition)
) WITH (fillfactor = 50);

ALTER TABLE gold.batches
    DROP CONSTRAINT batches_state_check,
    ADD CONSTRAINT batches_state_check CHECK (state IN ('running', 'stopped', 'done', 'failed'));
CREATE INDEX batches_by_start ON gold.batches (started_at DESC, id);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_reader') THEN
        GRANT SELECT ON gold.batch_parts TO gold_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON gold.batch_parts TO gold_writer;
    END IF;
END
$$;
