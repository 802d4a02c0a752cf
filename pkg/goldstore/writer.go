package goldstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// WriterConfig bounds a writer. The zero value is ready for use.
type WriterConfig struct {
	// CacheBytes is the budget for rows kept in memory; 0 means 16 MiB, a
	// negative number keeps none.
	CacheBytes int64
}

const (
	defaultCacheBytes = 16 << 20
	maxBufferBytes    = 1 << 20 // of the COPY buffer, kept from flush to flush

	maxWidth = time.Hour // of a base row; the catalogue allows no wider window

	maxRetries   = 8
	firstBackoff = 5 * time.Millisecond // doubled with each retry, with jitter
)

// Writer merges versions into the rows of one partition. It remembers rows
// that it wrote, so that most flushes read nothing. It is not safe for
// concurrent use; any number of writers of one partition, here or elsewhere,
// may write at the same time.
type Writer struct {
	store      *Store
	catalog    *catalog.Catalog
	partition  uint32
	cache      *cache
	generation int64                    // of the partition when the cache began
	series     map[reading.Series]int64 // known to be stored
	windows    map[string]time.Duration // of metrics; known to be stored
	marks      marks                    // known to be stored
	extents    map[int64]extent         // of series by id; as far is known to be stored
	buffer     copyBuffer
}

// NewWriter returns a writer for a partition that computes statistics under c.
func (s *Store) NewWriter(partition uint32, c *catalog.Catalog, wc WriterConfig) *Writer {
	budget := wc.CacheBytes
	if budget == 0 {
		budget = defaultCacheBytes
	}
	return &Writer{
		store: s, catalog: c, partition: partition,
		cache: newCache(budget), series: make(map[reading.Series]int64), windows: make(map[string]time.Duration),
		marks: newMarks(), extents: make(map[int64]extent),
	}
}

// SetCatalog makes the writer compute statistics under c from the next flush
// on.
func (w *Writer) SetCatalog(c *catalog.Catalog) { w.catalog = c }

// DropCache forgets the rows kept in memory.
func (w *Writer) DropCache() { w.cache.clear() }

// CacheBytes returns the size of the rows kept in memory.
func (w *Writer) CacheBytes() int64 { return w.cache.used }

// Flush merges the groups into their rows in one transaction and moves the position
// (invariants 1 and 3). It returns ErrPositionMoved when the position is not at
// Move.From, *CollisionError when a series' id is taken, ErrCatalogBehind when a row
// that it would change, a version in it, or the partition follows a later epoch, and
// ErrOtherWindow when a metric has rows of another width. After any error nothing of the
// flush is stored, but for a connection lost during commit, after which LoadPosition
// tells.
func (w *Writer) Flush(ctx context.Context, f Flush) (Result, error) {
	if err := f.check(); err != nil {
		return Result{}, err
	}
	t := &transaction{writer: w, flush: &f, starts: column(f.Groups, func(g *gold.Group) int64 { return g.Start })}
	result, err := t.run(ctx)
	if cap(w.buffer) > maxBufferBytes {
		w.buffer = nil
	}
	if err != nil {
		t.forget(err)
		return Result{}, fmt.Errorf("flush %d rows of partition %d: %w", len(f.Groups), w.partition, err)
	}
	t.remember()
	return result, nil
}

// check refuses what the schema cannot hold.
func (f *Flush) check() error {
	if f.Move != nil {
		if err := f.Move.check(); err != nil {
			return err
		}
	}
	for i := range f.Groups {
		k := &f.Groups[i].Key
		switch {
		case k.Start%int64(time.Second) != 0, k.Width%time.Second != 0, k.Width <= 0, k.Width > maxWidth:
			return fmt.Errorf("row of %s at %d, width %s: want whole seconds and at most %s",
				k.Series, k.Start, k.Width, maxWidth)
		case i > 0 && f.Groups[i-1].Key.Compare(*k) >= 0:
			return fmt.Errorf("row of %s at %d: groups are not in ascending key order", k.Series, k.Start)
		}
	}
	return nil
}

// transaction is one flush on its way.
type transaction struct {
	writer  *Writer
	flush   *Flush
	starts  []int64
	items   []item // one a group, in its order
	added   map[reading.Series]int64
	windows map[string]time.Duration // of metrics that the writer did not know
	marked  []seriesDay
	extents map[int64]extent
}

// run tries the transaction until it commits or fails for another reason than
// that the server sacrificed it to others.
func (t *transaction) run(ctx context.Context) (Result, error) {
	lookedAgain := false
	for retries := 0; ; retries++ {
		if err := t.writer.store.EnsureWeeks(ctx, t.starts); err != nil {
			return Result{}, err
		}
		result, err := t.try(ctx)
		result.Retries = retries
		switch {
		case err == nil:
			return result, nil
		case missingPartition(err) && !lookedAgain: // dropped since it was seen
			lookedAgain = true
			t.writer.store.forgetWeeks()
		case !mustRollBack(err) || retries >= maxRetries:
			return Result{}, err
		}
		if err := backoff(ctx, retries); err != nil {
			return Result{}, err
		}
	}
}

// missingPartition reports whether a table has no partition for a row, which
// Postgres calls a check violation.
func missingPartition(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "23514" && (pg.TableName == "base" || pg.TableName == "parts") && pg.ConstraintName == ""
}

func backoff(ctx context.Context, retries int) error {
	wait := firstBackoff << retries
	timer := time.NewTimer(wait/2 + rand.N(wait))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// try runs the transaction once.
func (t *transaction) try(ctx context.Context) (result Result, err error) {
	conn, err := t.writer.store.pool.Acquire(ctx)
	if err != nil {
		return result, fmt.Errorf("take a connection: %w", err)
	}
	defer conn.Release()
	if err := prepareStaging(ctx, conn.Conn()); err != nil {
		return result, err
	}
	tx, outboxID, err := t.begin(ctx, conn.Conn())
	if tx != nil {
		// No-op after a commit. Where it fails, as with a context that is over,
		// the connection is closed and the server rolls back.
		defer func() { _ = tx.Rollback(ctx) }()
	}
	if err != nil {
		return result, err
	}
	if err := t.prepare(ctx, tx); err != nil {
		return result, err
	}
	if err := t.write(ctx, tx, &result); err != nil {
		return result, err
	}
	if err := t.writeParts(ctx, tx); err != nil {
		return result, err
	}
	if err := t.mark(ctx, tx); err != nil {
		return result, err
	}
	if err := t.extend(ctx, tx); err != nil {
		return result, err
	}
	t.report(&result)
	if err := t.moveBatch(ctx, tx, &result); err != nil {
		return result, err
	}
	if err := t.feed(ctx, tx, outboxID, &result); err != nil {
		return result, err
	}
	if err := tx.Commit(ctx); err != nil {
		return result, fmt.Errorf("commit: %w", err)
	}
	return result, nil
}

// lockClass is the first key of the partitions' advisory locks: "gold". Flushes
// share a partition's lock; who needs it to hold still takes it exclusively.
const lockClass = 0x676f6c64

const (
	lockPartition  = `SELECT pg_advisory_xact_lock_shared($1, $2)`
	readGeneration = `
SELECT coalesce(generation, 0), coalesce(rolls, 0), rolled_day, coalesce(epoch, 0)
FROM (SELECT) AS always LEFT JOIN gold.generations ON partition = $1`
)

// begin opens the transaction and moves the position, all in one round trip.
func (t *transaction) begin(ctx context.Context, conn *pgx.Conn) (tx pgx.Tx, outboxID int64, err error) {
	w := t.writer
	var b pgx.Batch
	b.BeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if t.flush.Move != nil {
		t.flush.Move.queue(&b)
	}
	if t.flush.Replaced == nil {
		b.Queue(lockPartition, int32(lockClass), int32(w.partition))
	} else { // see the package's comment
		b.Queue(lockRoll, int32(lockClass), int32(w.partition))
		b.Queue(raiseGeneration, int32(w.partition))
	}
	// Read under the lock: nobody raises them until the commit.
	var (
		generation, rolls, epoch int64
		rolled                   *time.Time
	)
	b.Queue(readGeneration, int32(w.partition)).QueryRow(func(row pgx.Row) error {
		return row.Scan(&generation, &rolls, &rolled, &epoch)
	})
	if t.flush.Feed != nil {
		b.Queue(nextOutbox).QueryRow(func(row pgx.Row) error { return row.Scan(&outboxID) })
	}
	results := conn.SendBatch(ctx, &b)
	tx = results.Tx()
	if err := results.Close(); err != nil {
		return tx, 0, fmt.Errorf("begin: %w", missingTable(err))
	}
	if uint64(epoch) > w.catalog.Epoch() {
		return tx, 0, fmt.Errorf("partition %d requires epoch %d, the writer has %d: %w",
			w.partition, epoch, w.catalog.Epoch(), ErrCatalogBehind)
	}
	if generation != w.generation {
		w.cache.clear()
		w.generation = generation
	}
	w.marks.forget(rolls, rolled)
	return tx, outboxID, nil
}

// prepare checks the rows' widths, finds the series' ids, stores what of both is
// new and makes the items.
func (t *transaction) prepare(ctx context.Context, tx pgx.Tx) error {
	w := t.writer
	if len(w.series) > maxKnownSeries {
		clear(w.series)
		clear(w.windows)
		clear(w.extents)
	}
	var err error
	if t.windows, err = windowsOf(t.flush.Groups, w.windows); err != nil {
		return err
	}
	if err := setWindows(ctx, tx, t.windows); err != nil {
		return err
	}
	t.items = make([]item, len(t.flush.Groups))
	t.added = make(map[reading.Series]int64)
	wanted := make(map[int64]reading.Series)
	for i := range t.flush.Groups {
		g := &t.flush.Groups[i]
		id, known := w.series[g.Series]
		if !known {
			if id, known = t.added[g.Series]; !known {
				id = w.store.hashID(g.Series)
				if other, taken := wanted[id]; taken {
					return &CollisionError{ID: id, Stored: other, Wanted: g.Series}
				}
				wanted[id], t.added[g.Series] = g.Series, id
			}
		}
		t.items[i] = item{group: g, key: RowKey{SeriesID: id, Start: g.Start, Width: g.Width}}
	}
	if len(wanted) == 0 {
		return nil
	}
	return addSeries(ctx, tx, wanted)
}

// remember takes over what was committed into the writer's memory.
func (t *transaction) remember() {
	maps.Copy(t.writer.series, t.added)
	maps.Copy(t.writer.windows, t.windows)
	t.writer.marks.add(t.marked)
	maps.Copy(t.writer.extents, t.extents)
	for i := range t.items {
		if r := t.items[i].stored(); r != nil {
			t.writer.cache.put(r)
		} else {
			t.writer.cache.drop(t.items[i].key)
		}
	}
}

// forget drops the rows that the flush touched, of which nobody knows what
// became, and all rows when another owner is at work. Windows, marks and extents go
// too: after a failover they may never have been stored.
func (t *transaction) forget(err error) {
	t.writer.marks = newMarks()
	clear(t.writer.windows)
	clear(t.writer.extents)
	if errors.Is(err, ErrPositionMoved) {
		t.writer.cache.clear()
	}
	for i := range t.items {
		t.writer.cache.drop(t.items[i].key)
	}
}
