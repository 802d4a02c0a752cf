package goldstore

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
)

// Plan returns what Flush would do with the groups, in one snapshot, and writes
// nothing (invariant 22).
func (w *Writer) Plan(ctx context.Context, f Flush) (result Result, err error) {
	if err := f.check(); err != nil {
		return result, err
	}
	t := &transaction{writer: w, flush: &f, items: make([]item, len(f.Groups))}
	unread := make([]*item, len(f.Groups))
	for i := range f.Groups {
		g := &f.Groups[i]
		t.items[i] = item{group: g, key: RowKey{SeriesID: w.store.hashID(g.Series), Start: g.Start, Width: g.Width}}
		unread[i] = &t.items[i]
	}
	conn, err := w.store.pool.Acquire(ctx)
	if err != nil {
		return result, fmt.Errorf("take a connection: %w", err)
	}
	defer conn.Release()
	if err := prepareStaging(ctx, conn.Conn()); err != nil {
		return result, err
	}
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		if err := load(ctx, tx, unread); err != nil {
			return err
		}
		for i := range t.items {
			if err := t.items[i].merge(w.catalog, f.Replaced); err != nil {
				return err
			}
		}
		t.report(&result)
		return nil
	})
	if err != nil {
		return Result{}, fmt.Errorf("plan %d rows of partition %d: %w", len(f.Groups), w.partition, err)
	}
	return result, nil
}

const raiseGeneration = `
INSERT INTO gold.generations (partition, generation) VALUES ($1, 1)
ON CONFLICT (partition) DO UPDATE SET generation = generations.generation + 1`

// replace returns the versions of a row that is rebuilt: stored ones that are
// replaced make way for the group's. Judgements under an epoch that c does not know
// cannot be in the group, and so must not be asked for.
func (it *item) replace(
	c *catalog.Catalog, replaced func(*gold.Version) (bool, error),
) (versions []gold.Version, err error) {
	if err := knowsEpochs(c, it.before.versions); err != nil {
		return nil, err
	}
	versions = gold.Replace(it.before.versions, it.group.Versions, func(v *gold.Version) bool {
		gone, failed := replaced(v)
		err = cmp.Or(err, failed)
		return gone
	})
	common := gold.Common(it.before.versions, versions)
	it.added, it.removed = len(versions)-common, len(it.before.versions)-common
	return versions, err
}
