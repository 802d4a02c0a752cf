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

// Read calls fn with a snapshot: REPEATABLE READ, read only. It returns fn's
// error. The snapshot keeps the server from cleaning up behind it: fn should
// not wait for others.
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
	rowColumns = `series_id, start, width, ` + statsColumns + `, ` + standingColumns + `, epoch, revision, changed_at`
	selectSpan = `
FROM unnest($1::bigint[]) WITH ORDINALITY AS s(id, n)
JOIN gold.base b ON b.series_id = s.id AND b.start > $2 AND b.start <= $3
ORDER BY s.n, b.start, b.width`
	selectStats = `SELECT ` + rowColumns + selectSpan
	selectSets  = `SELECT ` + setColumns + `
FROM unnest($1::bigint[]) WITH ORDINALITY AS s(id, n)
JOIN gold.base b ON b.series_id = s.id AND b.start > $2 AND b.start <= $3
LEFT JOIN LATERAL (` + partsOfRow + ` AND start > $2 AND start <= $3 OFFSET 0) AS p ON true
ORDER BY s.n, b.start, b.width, p.part_start`

	// Of a row that is stored in parts, a row of the answer each. OFFSET 0 keeps
	// them from being looked for where there are none.
	setColumns = `b.series_id, b.start, b.width,
	coalesce(p.part_start, b.start), coalesce(p.samples, b.samples), coalesce(p.stamps, b.stamps)`
	partsOfRow = `SELECT part_start, samples, stamps FROM gold.parts
	WHERE octet_length(b.samples) = 0 AND series_id = b.series_id AND start = b.start AND width = b.width`
)

// Rows calls fn for each row of the series that overlaps [from, to), in Unix
// ns: series in the order of ids, rows by start and width. The row is fn's only
// during the call. Rows are streamed. An error of fn ends the snapshot and is
// returned.
func (tx *ReadTx) Rows(ctx context.Context, ids []int64, from, to int64, fn func(*StatsRow) error) error {
	var r StatsRow
	err := tx.each(ctx, selectStats, spanArguments(ids, from, to), func(f *fields) error {
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

// As in selectBounds, one step into the index.
const (
	selectNeighbour = `
SELECT ` + rowColumns + `,
	(SELECT coalesce(max(settled_ns), 0) FROM gold.base WHERE series_id = n.series_id AND `
	selectBefore = selectNeighbour + `start > n.start AND start < $2) FROM (SELECT * FROM gold.base
	WHERE series_id = $1 AND count > 0 AND start < $2 ORDER BY start DESC, width DESC LIMIT 1) AS n`
	selectFrom = selectNeighbour + `start < n.start AND start >= $2) FROM (SELECT * FROM gold.base
	WHERE series_id = $1 AND count > 0 AND start >= $2 ORDER BY start, width LIMIT 1) AS n`
)

// Neighbour is a row, and the latest Settled of the rows without readings that
// lie between it and the time that it was asked for.
type Neighbour struct {
	StatsRow
	Emptied int64
}

// LastBefore calls fn for the last row of a series that starts before t, in
// Unix ns, and has readings that count; not at all when there is none.
func (tx *ReadTx) LastBefore(ctx context.Context, id, t int64, fn func(*Neighbour) error) error {
	return tx.neighbour(ctx, selectBefore, id, t, fn)
}

// FirstFrom calls fn for the first row of a series that starts at t, in Unix
// ns, or later and has readings that count; not at all when there is none.
func (tx *ReadTx) FirstFrom(ctx context.Context, id, t int64, fn func(*Neighbour) error) error {
	return tx.neighbour(ctx, selectFrom, id, t, fn)
}

func (tx *ReadTx) neighbour(ctx context.Context, sql string, id, t int64, fn func(*Neighbour) error) error {
	var n Neighbour
	err := tx.each(ctx, sql, []any{id, timestamp(t)}, func(f *fields) error {
		f.row(&n.StatsRow)
		n.Emptied = f.int8()
		if err := f.err(); err != nil {
			return err
		}
		return fn(&n)
	})
	if err != nil {
		return fmt.Errorf("read the neighbour of series %d at %d: %w", id, t, err)
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

// VersionsRow is the versions of a base row, normalized.
type VersionsRow struct {
	RowKey
	Versions []gold.Version
}

// VersionRows is Rows with versions in place of statistics.
func (tx *ReadTx) VersionRows(ctx context.Context, ids []int64, from, to int64, fn func(*VersionsRow) error) error {
	err := tx.eachSet(ctx, selectSets, spanArguments(ids, from, to), func(r *VersionsRow) error {
		if !r.overlaps(from, to) {
			return nil
		}
		return fn(r)
	})
	if err != nil {
		return fmt.Errorf("read versions of %d series: %w", len(ids), err)
	}
	return nil
}

// eachSet runs a query for setColumns and calls fn for each row, put together of
// its parts.
func (tx *ReadTx) eachSet(ctx context.Context, sql string, arguments []any, fn func(*VersionsRow) error) error {
	var r *VersionsRow
	err := tx.each(ctx, sql, arguments, func(f *fields) error {
		if k := f.key(); r == nil || r.RowKey != k {
			if r != nil {
				if err := fn(r); err != nil {
					return err
				}
			}
			r = &VersionsRow{RowKey: k}
		}
		return f.appendVersions(r.RowKey, &r.Versions)
	})
	if err != nil || r == nil {
		return err
	}
	return fn(r)
}

const (
	selectSetsFrom = `
SELECT ` + setColumns + ` FROM (SELECT * FROM gold.base
	WHERE series_id = $1 AND start >= $2 ORDER BY start, width LIMIT $3) AS b
LEFT JOIN LATERAL (` + partsOfRow + ` OFFSET 0) AS p ON true
ORDER BY b.start, b.width, p.part_start`
	selectSetsBefore = `
SELECT ` + setColumns + ` FROM (SELECT * FROM gold.base
	WHERE series_id = $1 AND start < $2 ORDER BY start DESC, width DESC LIMIT $3) AS b
LEFT JOIN LATERAL (` + partsOfRow + ` OFFSET 0) AS p ON true
ORDER BY b.start DESC, b.width DESC, p.part_start`
)

// VersionsFrom returns at most so many rows of a series in the order of time, from
// those that start at t (Unix ns) on; backwards, the rows that start before t from
// the last one back.
func (tx *ReadTx) VersionsFrom(
	ctx context.Context, id, t int64, backwards bool, limit int,
) (rows []VersionsRow, err error) {
	sql := selectSetsFrom
	if backwards {
		sql = selectSetsBefore
	}
	err = tx.eachSet(ctx, sql, []any{id, timestamp(t), limit}, func(r *VersionsRow) error {
		rows = append(rows, *r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read versions of series %d at %d: %w", id, t, err)
	}
	return rows, nil
}

func (k RowKey) overlaps(from, to int64) bool { return k.Start < to && k.Start+int64(k.Width) > from }

func spanArguments(ids []int64, from, to int64) []any {
	return []any{ids, timestamp(max(from, math.MinInt64+int64(maxWidth)) - int64(maxWidth)), timestamp(to)}
}

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
