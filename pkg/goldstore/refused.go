package goldstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/reading"
)

const missingRefusals = `
SELECT n FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bigint[])
	WITH ORDINALITY AS k(received_ns, stream, sequence, index, stage, rule, epoch, n)
WHERE NOT EXISTS (SELECT FROM gold.quarantine q
	WHERE (q.received_ns, q.stream, q.sequence, q.index, q.stage, q.rule, q.epoch)
		= (k.received_ns, k.stream, k.sequence, k.index, k.stage, k.rule, k.epoch))
ORDER BY n`

// MissingRefusals returns those of rows whose entry the quarantine does not have,
// whatever its state.
func (tx *ReadTx) MissingRefusals(ctx context.Context, rows []QuarantineRow) ([]QuarantineRow, error) {
	answer, err := tx.tx.Query(ctx, missingRefusals, quarantineColumns(rows)[:7]...)
	if err != nil {
		return nil, fmt.Errorf("look up %d quarantined readings: %w", len(rows), err)
	}
	missing, err := pgx.CollectRows(answer, func(row pgx.CollectableRow) (QuarantineRow, error) {
		var n int64
		err := row.Scan(&n)
		return rows[n-1], err
	})
	if err != nil {
		return nil, fmt.Errorf("look up %d quarantined readings: %w", len(rows), err)
	}
	return missing, nil
}

const selectRefusedStamps = `
SELECT DISTINCT n FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
	WITH ORDINALITY AS k(received_ns, stream, sequence, index, n)
JOIN gold.quarantine q USING (received_ns, stream, sequence, index)
WHERE q.stage = $5`

// RefusedStamps returns those of stamps whose readings a stage has refused.
func (tx *ReadTx) RefusedStamps(
	ctx context.Context, stage string, stamps []reading.Stamp,
) (map[reading.Stamp]struct{}, error) {
	refused := make(map[reading.Stamp]struct{})
	var n int64
	rows, err := tx.tx.Query(ctx, selectRefusedStamps, append(stampColumns(stamps), stage)...)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&n}, func() error {
			refused[stamps[n-1]] = struct{}{}
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("look up what %s has refused of %d readings: %w", stage, len(stamps), err)
	}
	return refused, nil
}

// AddRefusals stores entries of the quarantine and computes the states of all that
// concerns their readings. Those that are there already stay.
func (s *Store) AddRefusals(ctx context.Context, rows []QuarantineRow) error {
	if len(rows) == 0 {
		return nil
	}
	var b pgx.Batch
	queueQuarantine(&b, rows, nil)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &b).Close() })
	if err != nil {
		return fmt.Errorf("add %d quarantined readings: %w", len(rows), err)
	}
	return nil
}
