package goldstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
)

// Span is windows of one series.
type Span struct {
	SeriesID int64
	Metric   *catalog.Metric
	Windows  gold.Windows
	From, To int64 // Unix ns; bounds of windows
}

// Parts calls fn for what a series has in a span, in order and in as few pieces
// as the windows allow: days that lie inside a window, hours that do so, base
// rows for the rest and wherever parents are missing, stale or made under other
// parameters. A gold.Aggregator makes the same answer of them, bit for bit, as
// of base rows alone. At the ends come base rows that overlap the span. The
// piece is fn's only during the call. An error of fn ends the snapshot and is
// returned. The metric is not Paired: those have no parents.
func (tx *ReadTx) Parts(ctx context.Context, s Span, fn func(*gold.Stored) error) error {
	r := partsReader{Span: s, tx: tx, at: s.From, fn: fn}
	if err := r.run(ctx); err != nil {
		return fmt.Errorf("read parts of series %d: %w", s.SeriesID, err)
	}
	return nil
}

// partsReader is one call of Parts.
type partsReader struct {
	Span
	tx  *ReadTx
	fn  func(*gold.Stored) error
	at  int64   // all before is handed over, but for cut
	cut []int64 // starts of days with parents that no window holds whole, on end

	start, end int64 // of the window looked at last
}

// maxCut bounds the days whose hours are in memory at once.
const maxCut = 31

func (r *partsReader) run(ctx context.Context) error {
	if fixed := r.Windows.Fixed(); fixed > 0 && fixed < gold.HourSpan {
		return r.base(ctx, r.From, r.To)
	}
	days, err := r.parents(ctx, selectDays, r.From-int64(gold.DaySpan)+1, r.To)
	if err != nil {
		return err
	}
	for i := range days {
		d := &days[i]
		if d.Start > r.at {
			if err := r.through(ctx, d.Start); err != nil {
				return err
			}
		}
		r.at = min(d.End(), r.To)
		whole := r.whole(d)
		if !whole {
			r.cut = append(r.cut, d.Start)
		}
		if whole || len(r.cut) == maxCut {
			if err := r.hours(ctx); err != nil {
				return err
			}
		}
		if whole {
			if err := r.fn(d); err != nil {
				return err
			}
		}
	}
	return r.through(ctx, r.To)
}

// whole reports whether one window holds the piece.
func (r *partsReader) whole(p *gold.Stored) bool {
	if p.Start < r.start || p.Start >= r.end {
		r.start, r.end = r.Windows.Bounds(p.Start)
	}
	return p.End() <= r.end && p.Start >= r.From && p.End() <= r.To
}

// through hands over the cut days and then base rows up to a time.
func (r *partsReader) through(ctx context.Context, to int64) error {
	if err := r.hours(ctx); err != nil || r.at >= to {
		return err
	}
	from := r.at
	r.at = to
	return r.base(ctx, from, to)
}

// hours hands over the days that are cut: the hours that lie inside a window,
// and base rows of the others.
func (r *partsReader) hours(ctx context.Context) error {
	if len(r.cut) == 0 {
		return nil
	}
	first, last := r.cut[0], r.cut[len(r.cut)-1]+int64(gold.DaySpan)
	r.cut = r.cut[:0]
	hours, err := r.parents(ctx, selectHours, first, last)
	if err != nil {
		return err
	}
	var cut []time.Time
	parts := hours[:0]
	for i := range hours {
		switch h := &hours[i]; {
		case h.End() <= r.From || h.Start >= r.To:
		case r.whole(h):
			parts = append(parts, *h)
		default:
			cut = append(cut, timestamp(h.Start))
		}
	}
	if len(cut) > 0 {
		if parts, err = r.rowsOf(ctx, cut, parts); err != nil {
			return err
		}
	}
	for i := range parts {
		if err := r.fn(&parts[i]); err != nil {
			return err
		}
	}
	return nil
}

// rowsOf puts the base rows of hours among parts.
func (r *partsReader) rowsOf(ctx context.Context, hours []time.Time, parts []gold.Stored) ([]gold.Stored, error) {
	first, last := hours[0], hours[len(hours)-1].Add(gold.HourSpan)
	err := r.tx.each(ctx, selectCut, []any{r.SeriesID, hours, first, last}, func(f *fields) error {
		row, err := f.baseRow(r.Metric)
		if err == nil && row.End() > r.From && row.Start < r.To {
			parts = append(parts, row)
		}
		return err
	})
	// Stable, so that rows of one start stay in the order of their widths.
	slices.SortStableFunc(parts, func(a, b gold.Stored) int { return cmp.Compare(a.Start, b.Start) })
	return parts, err
}

const (
	selectParents = `SELECT series_id, start, width, ` + statsColumns + `, ` + parentColumns
	selectDays    = selectParents + `
FROM gold.days WHERE series_id = $1 AND start >= $2 AND start < $3 AND fold_key = $4 AND NOT stale ORDER BY start`
	// For spans whose days hold: hours hold as long as their day.
	selectHours = selectParents + `
FROM gold.hours WHERE series_id = $1 AND start >= $2 AND start < $3 AND fold_key = $4 ORDER BY start`
	baseColumns = `start, width, ` + statsColumns + `, revision, changed_at`
	selectBase  = `SELECT ` + baseColumns + `
FROM gold.base WHERE series_id = $1 AND start > $2::timestamptz - interval '1 hour' AND start <= $3
ORDER BY start, width`
	selectCut = `SELECT b.* FROM unnest($2::timestamptz[]) AS h(start) CROSS JOIN LATERAL (
	SELECT ` + baseColumns + ` FROM gold.base WHERE series_id = $1
	AND start >= h.start AND start < h.start + interval '1 hour' AND start >= $3 AND start < $4 OFFSET 0) AS b
ORDER BY b.start, b.width`
)

// parents returns parents with starts in [from, to).
func (r *partsReader) parents(ctx context.Context, sql string, from, to int64) (all []gold.Stored, err error) {
	arguments := []any{r.SeriesID, ceilMicros(from), ceilMicros(to), gold.FoldKey(r.Metric)}
	err = r.tx.each(ctx, sql, arguments, func(f *fields) error {
		k := f.key()
		p := gold.Stored{Start: k.Start, Width: k.Width}
		f.stats(&p.Stats)
		_ = f.int8() // epoch: the key of the fold says what matters
		p.Revision, p.Changed = f.int8(), f.time()
		p.Peak, p.HasPeak = f.orFloat8()
		p.PeakAt = f.orInt8()
		p.Cadence = time.Duration(f.int8())
		_ = f.int8() // fold_key
		all = append(all, p)
		return f.err()
	})
	return all, err
}

// ceilMicros returns a time for a comparison of starts, which are whole µs.
func ceilMicros(ns int64) time.Time {
	return timestamp(ns).Add(time.Microsecond - 1).Truncate(time.Microsecond)
}

// base hands over the base rows that overlap [from, to). But at the beginning
// of all, rows that begin earlier were handed over before.
func (r *partsReader) base(ctx context.Context, from, to int64) error {
	return r.tx.each(ctx, selectBase, []any{r.SeriesID, timestamp(from), timestamp(to)}, func(f *fields) error {
		row, err := f.baseRow(r.Metric)
		if err != nil || row.Start >= to || row.End() <= from || row.Start < from && from != r.From {
			return err
		}
		return r.fn(&row)
	})
}

// baseRow reads baseColumns.
func (f *fields) baseRow(m *catalog.Metric) (gold.Stored, error) {
	row := gold.Stored{Start: f.nanos(), Width: time.Duration(f.int4()) * time.Second}
	var p gold.Partial
	f.stats(&p)
	row.Summary = gold.Summarize(m, row.Start, row.Width, p)
	row.Revision, row.Changed = f.int8(), f.time()
	return row, f.err()
}
