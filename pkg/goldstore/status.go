package goldstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const selectPositions = `SELECT ` + positionColumns + ` FROM gold.positions ORDER BY stage, partition`

// Positions returns all positions, by stage and partition.
func (tx *ReadTx) Positions(ctx context.Context) ([]Position, error) {
	rows, err := tx.tx.Query(ctx, selectPositions)
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	positions, err := pgx.CollectRows(rows, scanPosition)
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	return positions, nil
}

const countQuarantine = `
SELECT stage, rule, count(*) FROM gold.quarantine WHERE state = 'open'
GROUP BY stage, rule ORDER BY stage, rule`

// QuarantineCounts returns the number of open rows by stage and rule.
func (tx *ReadTx) QuarantineCounts(ctx context.Context) ([]QuarantineCount, error) {
	rows, err := tx.tx.Query(ctx, countQuarantine)
	if err != nil {
		return nil, fmt.Errorf("count the quarantine: %w", err)
	}
	counts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c QuarantineCount, err error) {
		var open int64
		err = row.Scan(&c.Stage, &c.Rule, &open)
		c.Open = uint64(open)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("count the quarantine: %w", err)
	}
	return counts, nil
}
