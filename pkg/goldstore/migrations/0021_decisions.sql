-- What became of readings in quarantine. All of it is in the stream QUARANTINE;
-- who projects that keeps it here, and computes the states of entries from it, so
-- that they are a function of what the stream holds, whatever order or repetition
-- it came in.
CREATE TABLE gold.quarantine_decisions (
    received_ns   bigint   NOT NULL, -- stamp of the reading, as in gold.quarantine
    stream        bigint   NOT NULL,
    sequence      bigint   NOT NULL,
    index         bigint   NOT NULL,
    stage         text     NOT NULL, -- that had refused it
    resolution    smallint NOT NULL, -- energy.v1.Resolution
    epoch         bigint   NOT NULL, -- by which it is accepted, or of the entry that was discarded
    person        text COLLATE "C" NOT NULL,
    decided_at_ns bigint   NOT NULL, -- of several decisions of one key the first is kept
    reason        text COLLATE "C" NOT NULL,
    PRIMARY KEY (received_ns, stream, sequence, index, stage, resolution, epoch)
);

ALTER TABLE gold.quarantine
    DROP CONSTRAINT quarantine_state_check,
    ADD CONSTRAINT quarantine_state_check CHECK (state IN ('open', 'released', 'discarded', 'judged_again')),
    ADD COLUMN person        text,   -- of entries that were released or discarded: who,
    ADD COLUMN decided_at_ns bigint, -- when
    ADD COLUMN reason        text;   -- and why
CREATE INDEX quarantine_by_entity ON gold.quarantine (entity, metric);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_reader') THEN
        GRANT SELECT ON gold.quarantine_decisions TO gold_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gold_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON gold.quarantine_decisions TO gold_writer;
    END IF;
END
$$;
