package goldstore

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// ReadTx reads one snapshot of gold. It is valid inside Store.Read and not
// safe for concurrent use.
type ReadTx struct{ tx pgx.Tx }

// Read calls fn with one snapshot (invariant 11): REPEATABLE READ, read only. It returns
// fn's error. The snapshot keeps the server from cleaning up behind it: fn should not
// wait for others.
func (s *Store) Read(ctx context.Context, fn func(*ReadTx) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) error { return missingTable(fn(&ReadTx{tx})) })
}

const holdSnapshot = `SET LOCAL idle_in_transaction_session_timeout = 0`

// Hold keeps the server from ending the snapshot while nothing is asked of it.
func (tx *ReadTx) Hold(ctx context.Context) error {
	if _, err := tx.tx.Exec(ctx, holdSnapshot); err != nil {
		return fmt.Errorf("hold the snapshot: %w", err)
	}
	return nil
}

// Selector picks series. An empty list does not restrict.
type Selector struct {
	Entities []string
	Metrics  []string
}

// Series is a series and its id in this store.
type Series struct {
	reading.Series
	ID int64
	// Reach is how far, at most, a reading of the series reaches from the start of
	// its row, if any reaches beyond the row's end.
	Reach time.Duration

	firstWeek, lastWeek int64 // of its rows; see extent
}

// maxStart is later than the start of every row.
const maxStart = int64(math.MaxInt64 / 2)

// Page is a part of a list of series. The zero page is the whole list.
type Page struct {
	Contains []string       // texts that all occur in a name of the series, in any case of ASCII letters
	After    reading.Series // which need not exist; the zero series stands before all
	Limit    uint32         // 0 means all
}

// No name holds a line feed, so that no text is found across two. The list is
// read in the order of the unique index, and no further than the limit.
const selectSeries = `
SELECT id, entity, metric, unit, reach_ns, first_week, last_week FROM gold.series
WHERE (cardinality($1::text[]) = 0 OR entity = ANY ($1)) AND (cardinality($2::text[]) = 0 OR metric = ANY ($2))
	AND (entity, metric, unit) > ($3, $4, $5)
	AND lower(entity || E'\n' || metric || E'\n' || unit) LIKE ALL ($6::text[])
ORDER BY entity, metric, unit
LIMIT nullif($7::bigint, 0)`

// Series returns the series that the selector picks, by entity, metric and
// unit.
func (tx *ReadTx) Series(ctx context.Context, sel Selector) ([]Series, error) {
	return tx.SeriesPage(ctx, sel, Page{})
}

// SeriesPage returns a page of the series that the selector picks, by entity,
// metric and unit.
func (tx *ReadTx) SeriesPage(ctx context.Context, sel Selector, page Page) ([]Series, error) {
	// A nil list would be NULL, which no comparison likes.
	list := func(names []string) []string { return append([]string{}, names...) }
	rows, err := tx.tx.Query(ctx, selectSeries, list(sel.Entities), list(sel.Metrics),
		page.After.EntityID, page.After.Metric, page.After.Unit, patterns(page.Contains), page.Limit)
	if err != nil {
		return nil, fmt.Errorf("read series: %w", err)
	}
	series, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Series, err error) {
		var first, last *time.Time
		err = row.Scan(&s.ID, &s.EntityID, &s.Metric, &s.Unit, &s.Reach, &first, &last)
		// Of a series that was written by an earlier build nobody knows its weeks.
		s.firstWeek, s.lastWeek = monday(0), monday(maxStart)
		if first != nil && last != nil {
			s.firstWeek, s.lastWeek = first.UnixNano(), last.UnixNano()
		}
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("read series: %w", err)
	}
	return series, nil
}

// patterns returns what a lower-case text that contains each part is like. The
// names' collation knows the case of ASCII letters only.
func patterns(parts []string) []string {
	escape := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
	out := make([]string, len(parts))
	for i, part := range parts {
		lower := strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, part)
		out[i] = "%" + escape.Replace(lower) + "%"
	}
	return out
}

// StatsRow is a base row without its versions.
type StatsRow struct {
	RowKey
	Stats     gold.Partial
	Standing  gold.Standing
	Epoch     uint64
	Revision  int64
	ChangedAt time.Time
}

// The rows of a span, which the columns to select are put before. $2 lies an
// hour, the greatest width of a row, before the span: a constant, so that the
// planner leaves out, and does not lock, the weeks that the span does not touch.
// Some rows at the ends are too many: times come here in µs.
const (
	rowColumns  = `series_id, start, width, ` + statsColumns + `, ` + standingColumns + `, epoch, revision, changed_at`
	selectStats = `
SELECT ` + rowColumns + `
FROM unnest($1::bigint[]) WITH ORDINALITY AS s(id, n)
JOIN gold.base b ON b.series_id = s.id AND b.start > $2 AND b.start <= $3
ORDER BY s.n, b.start, b.width`
)

// Rows calls fn for each row of the series that overlaps [from, to), in Unix
// ns: series in the order of ids, rows by start and width. The row is fn's only
// during the call. Rows are streamed. An error of fn ends the snapshot and is
// returned.
func (tx *ReadTx) Rows(ctx context.Context, ids []int64, from, to int64, fn func(*StatsRow) error) error {
	var r StatsRow
	since := max(from, math.MinInt64+int64(maxWidth)) - int64(maxWidth)
	err := tx.each(ctx, selectStats, []any{ids, timestamp(since), timestamp(to)}, func(f *fields) error {
		f.row(&r)
		if err := f.err(); err != nil || !r.overlaps(from, to) {
			return err
		}
		return fn(&r)
	})
	if err != nil {
		return fmt.Errorf("read rows of %d series: %w", len(ids), err)
	}
	return nil
}

// row reads rowColumns.
func (f *fields) row(r *StatsRow) {
	r.RowKey = f.key()
	f.stats(&r.Stats)
	f.standing(&r.Standing)
	r.Epoch, r.Revision, r.ChangedAt = uint64(f.int8()), f.int8(), f.time()
}

func (k RowKey) overlaps(from, to int64) bool { return k.Start < to && k.Start+int64(k.Width) > from }

// each runs a query and calls fn for each row of the answer. When fn fails the
// rest of the answer is not waited for: the connection is given up.
func (tx *ReadTx) each(ctx context.Context, sql string, arguments []any, fn func(*fields) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := tx.tx.Query(ctx, sql, arguments...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var f fields
	for rows.Next() {
		f = fields{values: rows.RawValues()}
		if err := fn(&f); err != nil {
			cancel()
			return err
		}
	}
	return rows.Err()
}
