-- A row without versions is no row. Rebuilds left such rows, whose samples are the
-- encoding of none.
DELETE FROM gold.base
WHERE EXISTS (SELECT FROM gold.batches WHERE kind = 'rebuild') AND count = 0 AND samples = '\x0100';
