package goldstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
)

// rowSpan is a part that is a span of rows, and the first row that it needs.
type rowSpan struct {
	*part
	ask   *Ask
	since int64
}

// rows reads the spans of rows that were laid down, those of neighbouring weeks at
// once: a query touches the partitions between the first and the last.
func (r *piecesReader) rows(ctx context.Context) error {
	var spans []rowSpan
	cut := make(map[int64]bool)
	for i := range r.asks {
		a := &r.asks[i]
		a.CutRows(cut)
		for j := range r.parts[i] {
			p := &r.parts[i][j]
			if !p.rows {
				continue
			}
			since := p.from
			if !a.Metric.Paired() {
				since -= max(int64(a.Series.Reach), int64(maxWidth))
			}
			spans = append(spans, rowSpan{p, a, since})
		}
	}
	slices.SortStableFunc(spans, func(a, b rowSpan) int { return cmp.Compare(a.since, b.since) })
	bounds := make([]time.Time, 0, len(cut))
	for start := range cut {
		bounds = append(bounds, timestamp(start))
	}
	for len(spans) > 0 {
		n, last := 1, spans[0].to
		for n < len(spans) && monday(spans[n].since) <= monday(last)+int64(week) {
			last = max(last, spans[n].to)
			n++
		}
		if err := r.readSpans(ctx, spans[:n], last, bounds); err != nil {
			return err
		}
		spans = spans[n:]
	}
	return nil
}

// readSpans reads spans, in the order of their first rows, up to last.
func (r *piecesReader) readSpans(ctx context.Context, spans []rowSpan, last int64, bounds []time.Time) error {
	arguments := []any{
		column(spans, func(s *rowSpan) int64 { return s.ask.Series.ID }),
		column(spans, func(s *rowSpan) time.Time { return ceilMicros(s.since) }),
		column(spans, func(s *rowSpan) time.Time { return ceilMicros(s.to) }),
		column(spans, func(s *rowSpan) time.Duration { return s.ask.Metric.Window }),
		bounds, ceilMicros(spans[0].since), ceilMicros(last),
	}
	rows := make([][]spreadRow, len(spans))
	err := r.tx.each(ctx, selectRows, arguments, func(f *fields) error {
		n := int(f.int8()) - 1
		row, stats, err := f.spreadRow()
		if err != nil {
			return err
		}
		row.summarize(spans[n].ask.Metric, stats)
		rows[n] = append(rows[n], row)
		return nil
	})
	if err != nil {
		return err
	}
	for n := range spans {
		slices.SortFunc(rows[n], func(a, b spreadRow) int {
			return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Width, b.Width))
		})
		if err := spans[n].take(spans[n].ask, rows[n]); err != nil {
			return err
		}
	}
	return nil
}

// CutRows adds the starts of the base windows that a bound of windows cuts. Fixed
// windows hold whole ones.
func (a *Ask) CutRows(starts map[int64]bool) {
	for t := a.From; a.Windows.Fixed() == 0; {
		if start := gold.WindowStart(t, a.Metric.Window); start != t {
			starts[start] = true
		}
		if t >= a.To {
			break
		}
		_, t = a.Windows.Bounds(t)
	}
}

// take puts the rows of a span into pieces.
func (p *part) take(a *Ask, rows []spreadRow) error {
	if p.use == expected || a.Metric.Paired() {
		for i := range rows {
			if row := &rows[i]; row.Start >= p.from && row.Start < p.to {
				p.read = append(p.read, piece{row: &row.Stored, versions: row.versions})
			}
		}
		return nil
	}
	windows := a.Windows
	if p.use == preceding {
		windows = gold.Windows{}
	}
	spread := gold.NewSpread(a.Metric, windows, p.from, p.to, func(s *gold.Stored) error {
		kept := *s
		p.read = append(p.read, piece{row: &kept})
		return nil
	})
	spread.SetHistory(a.History)
	for i := range rows {
		if err := spread.Add(&rows[i].Stored, rows[i].versions); err != nil {
			return err
		}
	}
	return spread.Finish()
}
