-- The catalogue epoch that writers of a partition must know at least. It is
-- raised under the partition's exclusive lock, before rows that follow earlier
-- epochs are computed anew, so that no writer adds another such row behind it.
ALTER TABLE gold.generations
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
