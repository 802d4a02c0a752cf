package goldstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/catalog"
)

const (
	// A row that an earlier build made has a time of its own.
	insertEpoch = `
INSERT INTO gold.epochs (number, hash, document, activated_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (number) DO UPDATE SET activated_at = excluded.activated_at
WHERE epochs.hash = excluded.hash AND epochs.activated_at <> excluded.activated_at`
	storedEpoch  = `SELECT hash FROM gold.epochs WHERE number = $1`
	insertMetric = `
INSERT INTO gold.metrics (epoch, metric, kind, integrate, unit, energy_unit, power_unit, description,
	base_window, cadence_ns, max_gap_ns, max_rate, rollover, dip_tolerance, reset_to_zero)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (epoch, metric) DO NOTHING`
)

// RegisterEpoch records a catalogue, when it came into force, and what it says of
// its metrics, which the functions of schema gold answer by. It returns ErrEpochConflict when its
// number is recorded with another hash.
func (s *Store) RegisterEpoch(ctx context.Context, c *catalog.Catalog) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return registerEpoch(ctx, tx, c) })
	if err != nil {
		return fmt.Errorf("register epoch %d: %w", c.Epoch(), missingTable(err))
	}
	return nil
}

func registerEpoch(ctx context.Context, tx pgx.Tx, c *catalog.Catalog) error {
	number := int64(c.Epoch())
	if _, err := tx.Exec(ctx, insertEpoch, number, c.Hash(), c.Document(), c.Activated()); err != nil {
		return err
	}
	var hash string
	if err := tx.QueryRow(ctx, storedEpoch, number).Scan(&hash); err != nil {
		return err
	}
	if hash != c.Hash() {
		return fmt.Errorf("hash %.12s, recorded %.12s: %w", c.Hash(), hash, ErrEpochConflict)
	}
	// An epoch that was recorded before there was a table of metrics gets them.
	var b pgx.Batch
	for _, m := range append(c.Metrics(), c.Undeclared()) {
		b.Queue(insertMetric, number, m.Name, m.Kind.String(), m.Integrate.String(), m.Unit, m.EnergyUnit, m.PowerUnit,
			m.Description, int32(m.Window/time.Second), int64(m.Cadence), int64(m.MaxGap), m.MaxRate, m.Rollover, m.DipTol,
			m.ResetToZero)
	}
	return tx.SendBatch(ctx, &b).Close()
}
