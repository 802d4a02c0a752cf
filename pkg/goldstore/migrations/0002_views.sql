-- The promise of the platform is about gold.content: what a set of stored
-- readings and a catalogue determine, under natural keys.
CREATE VIEW gold.content AS
SELECT s.entity, s.metric, s.unit, b.start, b.width,
       b.count, b.sum, b.min, b.min_at_ns, b.max, b.max_at_ns,
       b.first, b.first_at_ns, b.last, b.last_at_ns,
       b.squared_deviations, b.energy, b.advance, b.covered_ns,
       b.gaps, b.resets, b.exchanges, b.estimated_count, b.corrected_count,
       b.estimated_energy, b.corrected_energy,
       b.flags, b.first_quality, b.last_quality, b.epoch, b.samples, b.stamps
FROM gold.base b
JOIN gold.series s ON s.id = b.series_id;

-- Content without stamps, on which platforms that were fed separately agree.
CREATE VIEW gold.values AS
SELECT entity, metric, unit, start, width,
       count, sum, min, min_at_ns, max, max_at_ns,
       first, first_at_ns, last, last_at_ns,
       squared_deviations, energy, advance, covered_ns,
       gaps, resets, exchanges, estimated_count, corrected_count,
       estimated_energy, corrected_energy,
       flags, first_quality, last_quality, epoch, samples
FROM gold.content;
