package goldstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/gold"
)

// The base rows of a metric have one width: a reading in rows of two would count
// twice. The first flush of a metric sets it, all others check it, each in its
// transaction and before it writes a row.

const (
	insertWindows = `
INSERT INTO gold.base_windows (metric, width)
SELECT * FROM unnest($1::text[], $2::integer[]) AS w(metric, width)
ORDER BY metric
ON CONFLICT DO NOTHING`
	storedWindows = `SELECT metric, width FROM gold.base_windows WHERE metric = ANY($1)`
)

// windowsOf returns the widths of groups by metric, but for those that are known,
// and for rows to be computed anew, which are what they are.
func windowsOf(groups []gold.Group, known map[string]time.Duration) (map[string]time.Duration, error) {
	wanted := make(map[string]time.Duration)
	for i := range groups {
		g := &groups[i]
		width, ok := known[g.Series.Metric]
		if !ok {
			width, ok = wanted[g.Series.Metric]
		}
		switch {
		case len(g.Versions) == 0:
		case !ok:
			wanted[g.Series.Metric] = g.Width
		case width != g.Width:
			return nil, otherWindow(g.Series.Metric, width, g.Width)
		}
	}
	return wanted, nil
}

func otherWindow(metric string, stored, wanted time.Duration) error {
	return fmt.Errorf("metric %s has window %s, the catalogue says %s: %w", metric, stored, wanted, ErrOtherWindow)
}

// setWindows sets the widths of metrics that have none. It returns ErrOtherWindow
// when one has another.
func setWindows(ctx context.Context, tx pgx.Tx, wanted map[string]time.Duration) error {
	if len(wanted) == 0 {
		return nil
	}
	metrics := slices.Sorted(maps.Keys(wanted))
	widths := column(metrics, func(name *string) int32 { return int32(wanted[*name] / time.Second) })
	if _, err := tx.Exec(ctx, insertWindows, metrics, widths); err != nil {
		return fmt.Errorf("set the windows of %d metrics: %w", len(metrics), err)
	}
	// A new statement sees what a concurrent writer has committed meanwhile.
	stored, err := readWindows(ctx, tx, metrics)
	if err != nil {
		return err
	}
	for metric, width := range stored {
		if width != wanted[metric] {
			return otherWindow(metric, width, wanted[metric])
		}
	}
	return nil
}

// readWindows returns the widths of those metrics that have one.
func readWindows(ctx context.Context, tx pgx.Tx, metrics []string) (map[string]time.Duration, error) {
	var (
		stored = make(map[string]time.Duration, len(metrics))
		metric string
		width  int32
	)
	rows, err := tx.Query(ctx, storedWindows, metrics)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&metric, &width}, func() error {
			stored[metric] = time.Duration(width) * time.Second
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read the windows of %d metrics: %w", len(metrics), err)
	}
	return stored, nil
}

// Windows returns the widths of the base rows of those metrics that have any.
func (tx *ReadTx) Windows(ctx context.Context, metrics []string) (map[string]time.Duration, error) {
	return readWindows(ctx, tx.tx, metrics)
}

const (
	lockPartitions = `SELECT pg_advisory_xact_lock($1, p) FROM generate_series(0, $2 - 1) AS p`
	requireEpochs  = `
INSERT INTO gold.generations (partition, generation, epoch) SELECT p, 0, $2 FROM generate_series(0, $1 - 1) AS p
ON CONFLICT (partition) DO UPDATE SET epoch = greatest(generations.epoch, excluded.epoch)`
)

// Rewindow calls change, which puts an epoch into force that says other windows of
// metrics, with the widths of those that have rows, while no partition can be
// written. After that none can be by a writer of an earlier epoch. The error of
// change is returned, and nothing required then.
//
// When it is lost before it ends the epoch may be in force and not required. Then a
// writer of an earlier epoch may give such a metric its first row, and those of the
// epoch fail with ErrOtherWindow, until a later one says the window that it has.
func (s *Store) Rewindow(
	ctx context.Context, partitions int, epoch uint64, metrics []string,
	change func(stored map[string]time.Duration) error,
) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockPartitions, int32(lockClass), int32(partitions)); err != nil {
			return fmt.Errorf("lock %d partitions: %w", partitions, err)
		}
		stored, err := readWindows(ctx, tx, metrics)
		if err != nil {
			return err
		}
		if err := change(stored); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, requireEpochs, int32(partitions), int64(epoch))
		return err
	})
	if err != nil {
		return fmt.Errorf("change base windows with epoch %d: %w", epoch, missingTable(err))
	}
	return nil
}
