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

// Ask names what an answer needs to know of one series: its windows in [From, To).
type Ask struct {
	Series   Series
	Bounds   Bounds // of the series
	Metric   *catalog.Metric
	History  catalog.History
	Windows  gold.Windows
	From, To int64 // Unix ns; bounds of windows
	// Expect asks for what tells the cadence of readings: the series' first row.
	Expect bool
	// Continues says that the ask goes on where another one ended, Continued that
	// another one goes on where it ends.
	Continues, Continued bool
}

// Pieces is what a gold.Aggregator is to be fed.
type Pieces struct {
	Expect    *gold.Summary  // nil where the catalogue or the pieces tell the cadence
	Preceding []gold.Partial // see gold.Aggregator.Precede
	pieces    []piece
}

// piece is a base row, a piece of one, or folds of some hours or of a day.
type piece struct {
	row *gold.Stored
	// versions, normalized, come with a base row that the bound of a window cuts, of
	// a metric that is Paired: see gold.Aggregator.AddCut.
	versions []gold.Version

	folds    []byte // where there is no row
	width    time.Duration
	from, to int64 // the folds inside count
}

// Add adds a base row, with its versions if a bound of a window cuts it and the
// metric is Paired, or a piece of one.
func (p *Pieces) Add(row *gold.Stored, versions []gold.Version) {
	p.pieces = append(p.pieces, piece{row: row, versions: versions})
}

// Feed feeds an aggregator.
func (p *Pieces) Feed(a *gold.Aggregator) error {
	if p.Expect != nil {
		a.Expect(p.Expect)
	}
	for i := range p.Preceding {
		a.Precede(&p.Preceding[i])
	}
	return p.Each(a.Add, a.AddCut)
}

// Each calls whole for each day, hour, row or piece of one, in order, and cut for
// the rows that come with versions. What they are given is theirs only during the
// call.
func (p *Pieces) Each(whole func(*gold.Stored) error, cut func(*gold.Stored, []gold.Version) error) error {
	reader := gold.NewFoldReader()
	for i := range p.pieces {
		var err error
		switch one := &p.pieces[i]; {
		case one.row == nil:
			err = reader.Read(one.folds, one.width, func(s *gold.Stored) error {
				if s.Start < one.from || s.End() > one.to {
					return nil
				}
				return whole(s)
			})
		case one.versions != nil:
			err = cut(one.row, one.versions)
		default:
			err = whole(one.row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Pieces returns what there is of each ask, in as few pieces as its windows allow:
// days that lie inside a window, hours that do so, and base rows for the rest and
// wherever folds are missing, stale or made under other parameters; of metrics that
// are not Paired pieces of base rows, see gold.Spread. A gold.Aggregator makes the
// same answer of them, bit for bit, as of base rows alone (invariant 13).
//
// All is read at once and held in memory: ask for as much as fits.
func (tx *ReadTx) Pieces(ctx context.Context, asks []Ask) ([]Pieces, error) {
	r := piecesReader{tx: tx, asks: asks, out: make([]Pieces, len(asks)), parts: make([][]part, len(asks))}
	if err := r.run(ctx); err != nil {
		return nil, fmt.Errorf("read pieces of %d series: %w", len(asks), err)
	}
	return r.out, nil
}

// piecesReader is one call of Pieces.
type piecesReader struct {
	tx    *ReadTx
	asks  []Ask
	out   []Pieces
	parts [][]part // of each ask, in order
}

// part is folds, or a span of base rows that is to be read.
type part struct {
	folds    []piece
	rows     bool
	from, to int64
	use      use
	read     []piece // the rows
}

// use is what a part is for.
type use uint8

const (
	answered use = iota
	preceding
	expected
)

func (r *piecesReader) run(ctx context.Context) error {
	days, err := r.days(ctx)
	if err != nil {
		return err
	}
	before, err := Nearest(ctx, r.asks, (*Ask).Before, r.tx.LastBefore)
	if err != nil {
		return err
	}
	behind, err := Nearest(ctx, r.asks, (*Ask).Behind, r.tx.FirstFrom)
	if err != nil {
		return err
	}
	for i := range r.asks {
		r.plan(i, days[i], before[i])
	}
	if err := r.rows(ctx); err != nil {
		return err
	}
	for i := range r.asks {
		r.assemble(i, before[i], behind[i])
	}
	return nil
}

// Span returns the times whose rows are answered: whole rows where the aggregator
// cuts them.
func (a *Ask) Span() (from, to int64) {
	if !a.Metric.Paired() {
		return a.From, a.To
	}
	width := a.Metric.Window
	return gold.WindowStart(a.From, width), gold.WindowStart(a.To-1, width) + int64(width)
}

// Before returns the time before which the nearest reading matters; ok is false
// when none does or there is none.
func (a *Ask) Before() (at int64, ok bool) {
	from, _ := a.Span()
	back, flags := gold.LooksBack(a.Metric)
	at = from - int64(back)
	if a.Metric.Paired() {
		at = gold.WindowStart(at, a.Metric.Window)
	}
	return at, (a.Metric.Paired() || flags) && at > a.Bounds.FirstStart && !a.Continues
}

// Behind is Before of the readings behind the last window.
func (a *Ask) Behind() (at int64, ok bool) {
	_, to := a.Span()
	return to, a.Metric.Paired() && to <= a.Bounds.LastStart && !a.Continued
}

// packedDay is a day as its folds have it.
type packedDay struct {
	start int64
	folds []byte
	width time.Duration // a day's if a window holds it, else an hour's
}

// The folds that hold of series, with the keys that they must be of.
const selectFolds = `
SELECT s.n, d.start, d.day, CASE WHEN s.hours THEN d.hours END
FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::boolean[])
	WITH ORDINALITY AS s(id, key, since, until, hours, n)
CROSS JOIN LATERAL (SELECT start, day, hours FROM gold.days
	WHERE series_id = s.id AND start >= s.since AND start < s.until AND fold_key = s.key AND NOT stale OFFSET 0) AS d`

// days reads the days of each ask whose folds are of use, in order.
func (r *piecesReader) days(ctx context.Context) ([][]packedDay, error) {
	var (
		ids, keys    []int64
		since, until []time.Time
		hours        []bool
		asks         []int
		days         = make([][]packedDay, len(r.asks))
	)
	for i := range r.asks {
		a := &r.asks[i]
		fixed := a.Windows.Fixed()
		if a.Series.Reach > maxParentReach || fixed > 0 && fixed < gold.HourSpan {
			continue
		}
		asks, ids, keys = append(asks, i), append(ids, a.Series.ID), append(keys, gold.FoldKey(a.Metric))
		since = append(since, timestamp(gold.WindowStart(a.From, gold.DaySpan)))
		until = append(until, ceilMicros(a.To))
		hours = append(hours, !a.Windows.HoldDays())
	}
	if len(asks) == 0 {
		return days, nil
	}
	var room []byte
	keep := func(folds []byte) []byte { // copies what is the driver's
		if len(room)+len(folds) > cap(room) {
			room = make([]byte, 0, max(len(folds), 64<<10))
		}
		at := len(room)
		room = append(room, folds...)
		return room[at:len(room):len(room)]
	}
	err := r.tx.each(ctx, selectFolds, []any{ids, keys, since, until, hours}, func(f *fields) error {
		i := asks[int(f.int8())-1]
		d := packedDay{start: f.nanos()}
		day, hours := f.bytes(), f.bytes()
		if err := f.err(); err != nil {
			return err
		}
		switch w := (holder{ask: &r.asks[i]}); {
		case w.whole(d.start, gold.DaySpan):
			d.folds, d.width = keep(day), gold.DaySpan
		case hours == nil:
			return nil
		default:
			d.folds, d.width = keep(hours), gold.HourSpan
		}
		days[i] = append(days[i], d)
		return nil
	})
	for i := range days {
		slices.SortFunc(days[i], func(a, b packedDay) int { return cmp.Compare(a.start, b.start) })
	}
	return days, err
}

// holder tells what lies inside one window of an ask.
type holder struct {
	ask        *Ask
	start, end int64 // of the window looked at last
}

func (w *holder) whole(start int64, span time.Duration) bool {
	if start < w.start || start >= w.end {
		w.start, w.end = w.ask.Windows.Bounds(start)
	}
	end := start + int64(span)
	return end <= w.end && start >= w.ask.From && end <= w.ask.To && start >= w.start
}

// plan lays down the parts of an ask: folds, and spans of rows between them.
func (r *piecesReader) plan(i int, days []packedDay, before *Neighbour) {
	a := &r.asks[i]
	if a.Expect {
		r.addRows(i, a.Bounds.FirstStart, a.Bounds.FirstStart+1, expected)
	}
	from, to := a.Span()
	if back, flags := gold.LooksBack(a.Metric); flags && a.From > a.Bounds.FirstStart && !a.Continues {
		switch {
		case a.Metric.Paired():
			r.addRows(i, gold.WindowStart(from-int64(back), a.Metric.Window), from, answered)
		case before != nil:
			r.addRows(i, before.Start, from, preceding)
		default:
			r.addRows(i, a.Bounds.FirstStart, from, preceding)
		}
	}
	at := from
	for _, d := range days {
		r.addRows(i, at, min(d.start, to), answered)
		at = max(at, d.start+int64(gold.DaySpan))
		r.addFolds(i, d, from, to)
	}
	r.addRows(i, at, to, answered)
}

// addFolds adds the folds of a day, and spans of rows for the hours that a bound of
// a window or of the ask cuts.
func (r *piecesReader) addFolds(i int, d packedDay, from, to int64) {
	a := &r.asks[i]
	folds := func(from, to int64) {
		if from < to {
			r.parts[i] = append(r.parts[i], part{folds: []piece{{folds: d.folds, width: d.width, from: from, to: to}}})
		}
	}
	at, end := max(d.start, from), min(d.start+int64(gold.DaySpan), to)
	if d.width == gold.DaySpan {
		folds(at, end)
		return
	}
	cut := func(hour int64) {
		folds(at, hour)
		at = max(at, min(hour+int64(gold.HourSpan), end))
		r.addRows(i, max(hour, from), at, answered)
	}
	for t := at; ; {
		if hour := gold.WindowStart(t, gold.HourSpan); hour != t && hour+int64(gold.HourSpan) > at {
			cut(hour)
		}
		if t >= end {
			break
		}
		_, t = a.Windows.Bounds(t)
		t = min(t, end)
	}
	folds(at, end)
}

// addRows adds a span of rows, to the one before if it goes on with it.
func (r *piecesReader) addRows(i int, from, to int64, u use) {
	a := &r.asks[i]
	from, to = max(from, a.Bounds.rows.from), min(to, a.Bounds.rows.to+int64(a.Metric.Window+a.Series.Reach))
	if from >= to {
		return
	}
	if n := len(r.parts[i]) - 1; n >= 0 {
		if last := &r.parts[i][n]; last.rows && last.use == u && last.to == from {
			last.to = to
			return
		}
	}
	r.parts[i] = append(r.parts[i], part{rows: true, from: from, to: to, use: u})
}

// The rows of spans and those before from which a reading may reach into one, with
// the versions of those that need them. The bounds on start leave out partitions.
// OFFSET 0 keeps one walk of the index a span.
const selectRows = `
SELECT s.n, b.*
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::interval[])
	WITH ORDINALITY AS s(id, since, until, width, n)
CROSS JOIN LATERAL (
	SELECT ` + spreadColumns + `, ` + versionColumns + `
	FROM (SELECT *, ` + tangled + ` OR date_bin(s.width, start, 'epoch') = ANY ($5::timestamptz[]) AS needed
		FROM ` + spreadBase + `
		series_id = s.id AND start >= s.since AND start < s.until AND start >= $6 AND start < $7) AS b) AS b
	ORDER BY start, width OFFSET 0) AS b`

// assemble puts together what was read of an ask.
func (r *piecesReader) assemble(i int, before, behind *Neighbour) {
	out, m := &r.out[i], r.asks[i].Metric
	neighbour := func(n *Neighbour) {
		if n == nil || !m.Paired() {
			return
		}
		s := gold.Stored{Start: n.Start, Width: n.Width, Emptied: n.Emptied}
		s.Summary = gold.Summarize(m, n.Start, n.Width, n.Stats)
		s.Standing, s.Revision, s.Changed = n.Standing, n.Revision, n.ChangedAt
		out.Add(&s, nil)
	}
	neighbour(before)
	for j := range r.parts[i] {
		p := &r.parts[i][j]
		switch {
		case !p.rows:
			out.pieces = append(out.pieces, p.folds...)
		case p.use == answered:
			out.pieces = append(out.pieces, p.read...)
		case p.use == preceding:
			for k := range p.read {
				out.Preceding = append(out.Preceding, p.read[k].row.Stats)
			}
		case len(p.read) > 0:
			out.Expect = &p.read[0].row.Summary
		}
	}
	neighbour(behind)
}

// ceilMicros returns a time for a comparison of starts, which are whole µs.
func ceilMicros(ns int64) time.Time {
	return timestamp(ns).Add(time.Microsecond - 1).Truncate(time.Microsecond)
}
