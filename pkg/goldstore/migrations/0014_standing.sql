-- Since when the winners of a span are what they are: what an answer needs to
-- say whether it is final or restated. Unix ns; 0: there is none, or a row of an
-- earlier build, which the next flush that touches it computes anew.
--
-- All follow from the versions and the history of the catalogue. They depend on
-- stamps, so they are content and not gold.values.
ALTER TABLE gold.base
    ADD COLUMN first_received_ns bigint NOT NULL DEFAULT 0, -- least receive time of the versions
    ADD COLUMN settled_ns        bigint NOT NULL DEFAULT 0, -- last change of a winner
    ADD COLUMN first_settled_ns  bigint NOT NULL DEFAULT 0, -- since when the first winner is what it is
    ADD COLUMN last_settled_ns   bigint NOT NULL DEFAULT 0; -- since when the last winner is what it is
ALTER TABLE gold.hours
    ADD COLUMN first_received_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN settled_ns        bigint NOT NULL DEFAULT 0;
ALTER TABLE gold.days
    ADD COLUMN first_received_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN settled_ns        bigint NOT NULL DEFAULT 0;

CREATE OR REPLACE VIEW gold.content AS
SELECT s.entity, s.metric, s.unit, b.start, b.width,
       b.count, b.sum, b.min, b.min_at_ns, b.max, b.max_at_ns,
       b.first, b.first_at_ns, b.last, b.last_at_ns,
       b.squared_deviations, b.energy, b.advance, b.covered_ns,
       b.gaps, b.resets, b.exchanges, b.estimated_count, b.corrected_count,
       b.estimated_energy, b.corrected_energy,
       b.flags, b.first_quality, b.last_quality, b.epoch, b.samples, b.stamps,
       b.reach_ns, b.head_until_ns, b.tail_since_ns, b.overlapping, b.spikes, b.jumps,
       b.first_received_ns, b.settled_ns, b.first_settled_ns, b.last_settled_ns
FROM gold.base b
JOIN gold.series s ON s.id = b.series_id
UNION ALL
SELECT s.entity, s.metric, s.unit, p.part_start, p.part_width,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, p.samples, p.stamps,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM gold.parts p
JOIN gold.series s ON s.id = p.series_id;
