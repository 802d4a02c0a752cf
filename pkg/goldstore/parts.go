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
	Reach    time.Duration // of the series
	Metric   *catalog.Metric
	History  catalog.History
	Windows  gold.Windows
	From, To int64 // Unix ns; bounds of windows
}

// Parts calls fn for what a series has in a span, in order and in as few pieces
// as the windows allow: days that lie inside a window, hours that do so, pieces
// of base rows (see gold.Spread) for the rest and wherever parents are missing,
// stale or made under other parameters. A gold.Aggregator makes the same answer
// of them, bit for bit, as of base rows alone. Each piece lies inside one window.
// It is fn's only during the call. An error of fn ends the snapshot and is
// returned. The metric is not Paired: those have no parents.
func (tx *ReadTx) Parts(ctx context.Context, s Span, fn func(*gold.Stored) error) error {
	r := partsReader{Span: s, tx: tx, at: s.From, fn: fn, bounds: s.cutWindows()}
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

	bounds []time.Time // starts of the base windows that windows cut

	start, end int64 // of the window looked at last
}

// maxCut bounds the days whose hours are in memory at once.
const maxCut = 31

func (r *partsReader) run(ctx context.Context) error {
	if fixed := r.Windows.Fixed(); fixed > 0 && fixed < gold.HourSpan || r.Reach > maxParentReach {
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

// cutWindows returns the starts of the base windows that a bound of windows cuts.
// Fixed windows hold whole ones.
func (s *Span) cutWindows() (starts []time.Time) {
	for t := s.From; s.Windows.Fixed() == 0; {
		if start := gold.WindowStart(t, s.Metric.Window); start != t {
			starts = append(starts, timestamp(start))
		}
		if t >= s.To {
			break
		}
		_, t = s.Windows.Bounds(t)
	}
	return starts
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
	keep := func(p *gold.Stored) error { //nolint:unparam // a spread's emit
		parts = append(parts, *p)
		return nil
	}
	var (
		spread *gold.Spread
		at     int // of hours, that the spread is of
	)
	next := func(n int) error { // begins the hours up to the nth, which has rows or is none
		for ; at < n; at++ {
			if spread != nil {
				if err := spread.Finish(); err != nil {
					return err
				}
			}
			if at < len(hours) {
				from := hours[at].UnixNano()
				from, to := max(from, r.From), min(from+int64(gold.HourSpan), r.To)
				spread = gold.NewSpread(r.Metric, r.Windows, from, to, keep)
				spread.SetHistory(r.History)
			}
		}
		return nil
	}
	first, last := hours[0].Add(-r.Reach), hours[len(hours)-1].Add(gold.HourSpan)
	arguments := []any{r.SeriesID, hours, first, r.Metric.Window, r.bounds, last, r.Reach}
	err := r.tx.each(ctx, selectCut, arguments, func(f *fields) error {
		if err := next(int(f.int8())); err != nil {
			return err
		}
		return r.add(f, spread)
	})
	if err == nil {
		err = next(len(hours) + 1)
	}
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
	selectBase = `SELECT ` + spreadColumns + `, NULL, NULL
FROM gold.base WHERE series_id = $1 AND start > $2 AND start < $3 ORDER BY start, width`
	// IN of a subquery hashes the bounds.
	cutRow       = `date_bin($4::interval, start, 'epoch') IN (SELECT unnest($5::timestamptz[]))`
	selectSpread = `SELECT ` + spreadColumns + `, ` + versionColumns + `
FROM (SELECT *, ` + tangled + ` OR ` + cutRow + ` AS needed FROM ` + spreadBase + `
	series_id = $1 AND start > $2 AND start < $3) AS b) AS b
ORDER BY start, width`
	selectCut = `SELECT h.n, b.* FROM unnest($2::timestamptz[]) WITH ORDINALITY AS h(start, n) CROSS JOIN LATERAL (
	SELECT ` + spreadColumns + `, ` + versionColumns + `
	FROM (SELECT *, ` + tangled + ` OR ` + cutRow + ` AS needed FROM ` + spreadBase + `
		series_id = $1 AND start >= h.start - $7::interval AND start < h.start + interval '1 hour'
		AND start >= $3 AND start < $6) AS b) AS b OFFSET 0) AS b
ORDER BY h.n, b.start, b.width`
)

// parents returns parents with starts in [from, to).
func (r *partsReader) parents(ctx context.Context, sql string, from, to int64) (all []gold.Stored, err error) {
	arguments := []any{r.SeriesID, ceilMicros(from), ceilMicros(to), gold.FoldKey(r.Metric)}
	err = r.tx.each(ctx, sql, arguments, func(f *fields) error {
		k := f.key()
		p := gold.Stored{Start: k.Start, Width: k.Width}
		f.stats(&p.Stats)
		_ = f.int8() // epoch: the key of the fold says what matters
		if p.Revision, p.Changed = f.int8(), f.time(); p.Revision == 0 {
			p.Changed = time.Time{} // there is no row
		}
		p.Peak, p.HasPeak = f.orFloat8()
		p.PeakAt = f.orInt8()
		p.Pace = time.Duration(f.int8())
		f.span(&p.Standing)
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

// base hands over the pieces of base rows of [from, to).
func (r *partsReader) base(ctx context.Context, from, to int64) error {
	sql := selectBase
	arguments := []any{r.SeriesID, timestamp(from - max(int64(r.Reach), int64(maxWidth))), timestamp(to)}
	if r.Reach > 0 || len(r.bounds) > 0 {
		sql = selectSpread
		arguments = append(arguments, r.Metric.Window, r.bounds)
	}
	spread := gold.NewSpread(r.Metric, r.Windows, from, to, r.fn)
	spread.SetHistory(r.History)
	if err := r.tx.each(ctx, sql, arguments, func(f *fields) error { return r.add(f, spread) }); err != nil {
		return err
	}
	return spread.Finish()
}

// add gives the next row to a spread.
func (r *partsReader) add(f *fields, spread *gold.Spread) error {
	row, stats, err := f.spreadRow()
	if err != nil {
		return err
	}
	row.summarize(r.Metric, stats)
	return spread.Add(&row.Stored, row.versions)
}
