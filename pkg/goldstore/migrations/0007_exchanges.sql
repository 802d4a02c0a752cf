-- The index that the new meter starts from, of a reading that records an
-- exchange; null for others.
ALTER TABLE gold.quarantine ADD COLUMN exchange_start double precision;
