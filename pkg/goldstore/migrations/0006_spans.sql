-- What readings that cover spans reach, and what set-based flags need.
--
-- reach_ns is the latest end of a reading of the row in Unix ns, 0 for readings
-- at an instant. energy, covered_ns and their parts are those of the row's own
-- readings up to the end of the row; what lies behind it is given to the later
-- windows when they are read. head_until_ns and tail_since_ns bound the runs of
-- equal values that a row begins and ends with. Rows that were written before
-- say 0 and count a reading wholly where it starts, until they are computed
-- anew.
ALTER TABLE gold.base
    ADD COLUMN reach_ns      bigint NOT NULL DEFAULT 0,
    ADD COLUMN head_until_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN tail_since_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN overlapping   bigint NOT NULL DEFAULT 0, -- readings that begin before one before them ends
    ADD COLUMN spikes        bigint NOT NULL DEFAULT 0,
    ADD COLUMN jumps         bigint NOT NULL DEFAULT 0; -- exchanges that were guessed from a rise
ALTER TABLE gold.hours
    ADD COLUMN reach_ns      bigint NOT NULL DEFAULT 0,
    ADD COLUMN head_until_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN tail_since_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN overlapping   bigint NOT NULL DEFAULT 0,
    ADD COLUMN spikes        bigint NOT NULL DEFAULT 0,
    ADD COLUMN jumps         bigint NOT NULL DEFAULT 0;
ALTER TABLE gold.days
    ADD COLUMN reach_ns      bigint NOT NULL DEFAULT 0,
    ADD COLUMN head_until_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN tail_since_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN overlapping   bigint NOT NULL DEFAULT 0,
    ADD COLUMN spikes        bigint NOT NULL DEFAULT 0,
    ADD COLUMN jumps         bigint NOT NULL DEFAULT 0;

-- How far, at most, a reading of the series reaches from the start of its row,
-- if any reaches beyond its row's end: so far a reader looks back. It never
-- shrinks.
ALTER TABLE gold.series ADD COLUMN reach_ns bigint NOT NULL DEFAULT 0;

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
JOIN gold.series s ON s.id = b.series_id;

CREATE OR REPLACE VIEW gold.values AS
SELECT entity, metric, unit, start, width,
       count, sum, min, min_at_ns, max, max_at_ns,
       first, first_at_ns, last, last_at_ns,
       squared_deviations, energy, advance, covered_ns,
       gaps, resets, exchanges, estimated_count, corrected_count,
       estimated_energy, corrected_energy,
       flags, first_quality, last_quality, epoch, samples,
       reach_ns, head_until_ns, tail_since_ns, overlapping, spikes, jumps
FROM gold.content;
