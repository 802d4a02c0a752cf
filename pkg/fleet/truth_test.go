package fleet_test

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/fleet"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
)

// subunits are the units that are thousandths of the canonical one.
var subunits = map[string]bool{"W": true, "Wh": true, "l": true}

// point is a reading in the canonical unit.
type point struct {
	time    int64
	value   float64
	quality reading.Quality
	rank    int
	revised uint64
}

// naive applies the sentences of the law to the deliveries: the greatest by
// rank and revision wins each (series, time), a withdrawal means absent.
func naive(t *rapid.T, f *fleet.Fleet) (winners [][]point, n fleet.Totals) {
	best := make([]map[int64]point, len(f.Series()))
	for i := range best {
		best[i] = make(map[int64]point)
	}
	type identity struct {
		series int
		time   int64
	}
	type content struct {
		identity
		value    float64
		quality  reading.Quality
		revision uint64
	}
	type rank struct {
		identity
		rank     int
		revision uint64
	}
	contents, ranks := make(map[content]bool), make(map[rank]bool)
	for d := range f.Deliveries() {
		n.Deliveries++
		if d.Defect != nil {
			continue
		}
		n.Readings++
		r := d.Reading
		id := identity{d.Series, r.Time}
		if c := (content{id, r.Value, r.Quality, r.Revision}); !contents[c] {
			contents[c] = true
			k := rank{id, r.Quality.Rank(), r.Revision}
			if ranks[k] {
				t.Fatalf("%+v has two contents of one rank and revision", id)
			}
			ranks[k] = true
		}
		p := point{r.Time, r.Value, r.Quality, r.Quality.Rank(), r.Revision}
		if subunits[r.Unit] {
			p.value /= 1000
		}
		old, ok := best[d.Series][r.Time]
		if !ok || cmp.Or(cmp.Compare(p.rank, old.rank), cmp.Compare(p.revised, old.revised)) > 0 {
			best[d.Series][r.Time] = p
		}
	}
	n.Versions = uint64(len(contents))
	winners = make([][]point, len(best))
	for i, series := range best {
		n.Identities += uint64(len(series))
		for _, at := range slices.Sorted(maps.Keys(series)) {
			if series[at].quality != reading.Withdrawn {
				winners[i] = append(winners[i], series[at])
			}
		}
		n.Winners += uint64(len(winners[i]))
	}
	return winners, n
}

// naiveRow returns the row of some winners, but for what lies between readings.
func naiveRow(points []point) (r fleet.Row) {
	r.Count, r.Min, r.Max = uint64(len(points)), math.Inf(1), math.Inf(-1)
	for _, p := range points {
		r.Sum += p.value
		r.Min, r.Max = math.Min(r.Min, p.value), math.Max(r.Max, p.value)
		switch p.quality {
		case reading.Estimated:
			r.Estimated++
		case reading.Corrected:
			r.Corrected++
		default:
		}
	}
	return r
}

// naiveStep reads a register's step after the design, §7.
func naiveStep(s *fleet.Series, declared fleet.Registers, prev, cur, hours float64) (
	step float64, resets, exchanges uint64,
) {
	rate := float64(declared.MaxRate)
	if rate == 0 {
		rate = map[string]float64{"kWh": 1e6, "m3": 1e5}[s.Unit]
	}
	// Indices have three decimals, and so have their differences; what is exactly
	// at the limit is within it.
	const slack = 1e-11
	d, limit, modulus := math.Round((cur-prev)*1000)/1000, rate*hours+slack, float64(declared.Rollover)
	switch {
	case 0 <= d && d <= limit:
		return d, 0, 0
	case modulus > 0 && d < 0 && 0 <= d+modulus && d+modulus <= math.Min(limit, modulus/2+slack):
		return d + modulus, 1, 0
	case declared.ResetToZero && d < 0 && cur <= limit:
		return cur, 1, 0
	default:
		return 0, 0, 1
	}
}

// key names a row: what differs between the two ways to compute it is left out.
type key struct {
	series int
	span   fleet.Span
	start  int64
}

// divisions returns the windows of both spans, as the domain divides time.
func divisions(t interface{ Fatal(...any) }, f *fleet.Fleet, s *fleet.Series) map[fleet.Span]gold.Windows {
	fixed, err := gold.FixedWindows(f.Config().Window)
	if err != nil {
		t.Fatal(err)
	}
	days, err := gold.CalendarWindows(gold.Day, s.Entity.Location())
	if err != nil {
		t.Fatal(err)
	}
	return map[fleet.Span]gold.Windows{fleet.Fixed: fixed, fleet.Day: days}
}

// naiveRows groups winners into windows and adds what lies between them.
func naiveRows(t *rapid.T, f *fleet.Fleet, winners [][]point) map[key]fleet.Row {
	rows := make(map[key]fleet.Row)
	for i, points := range winners {
		s := f.Series()[i]
		for span, w := range divisions(t, f, s) {
			groups := make(map[key][]point)
			for _, p := range points {
				start, _ := w.Bounds(p.time)
				groups[key{i, span, start}] = append(groups[key{i, span, start}], p)
			}
			for k, group := range groups {
				rows[k] = naiveRow(group)
			}
			window := func(at int64) (key, int64) {
				start, end := w.Bounds(at)
				return key{i, span, start}, end
			}
			for j, p := range points {
				if s.Length > 0 {
					naiveCover(s, p, window, rows)
				} else if j > 0 {
					naivePair(f, points[j-1], p, window, rows)
				}
			}
		}
	}
	return rows
}

// naivePair adds what lies between two readings to the rows of its windows.
func naivePair(f *fleet.Fleet, p, q point, window func(int64) (key, int64), rows map[key]fleet.Row) {
	last, _ := window(q.time)
	s := f.Series()[last.series]
	apart := time.Duration(q.time - p.time).Hours()
	var between func(from, to float64) float64 // hours after p
	switch s.Kind {
	case fleet.Register:
		step, resets, exchanges := naiveStep(s, f.Config().Registers, p.value, q.value, apart)
		between = func(from, to float64) float64 { return step * (to - from) / apart }
		row := rows[last]
		row.Resets += resets
		row.Exchanges += exchanges
		rows[last] = row
	case fleet.Linear:
		if apart > 1 {
			return
		}
		at := func(h float64) float64 { return p.value + (q.value-p.value)*h/apart }
		between = func(from, to float64) float64 { return (at(from) + at(to)) / 2 * (to - from) }
	default:
		return
	}
	naiveShares(p.time, q.time, between, window, rows)
}

// naiveCover adds what a reading covers to the rows of its windows.
func naiveCover(s *fleet.Series, p point, window func(int64) (key, int64), rows map[key]fleet.Row) {
	power := p.value
	if s.Kind == fleet.Interval {
		power /= s.Length.Hours()
	}
	between := func(from, to float64) float64 { return power * (to - from) }
	naiveShares(p.time, p.time+int64(s.Length), between, window, rows)
}

// naiveShares adds an energy, told between hours after from, to the windows of
// [from, to).
func naiveShares(
	from, to int64, between func(from, to float64) float64, window func(int64) (key, int64), rows map[key]fleet.Row,
) {
	for at := from; at < to; {
		k, end := window(at)
		end = min(end, to)
		row := rows[k]
		row.Energy += between(time.Duration(at-from).Hours(), time.Duration(end-from).Hours())
		rows[k] = row
		at = end
	}
}

// near reports whether numbers are equal to within 1e-9. Scale is the size of
// what they are differences of, whose last bits may go wrong too.
func near(a, b, scale float64) bool {
	return math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b), 1)+1e-12*scale
}

func compareRows(t interface{ Fatalf(string, ...any) }, f *fleet.Fleet, want map[key]fleet.Row) {
	seen := 0
	var before fleet.Row
	for got := range f.Rows() {
		k := key{got.Series, got.Span, got.Start}
		w, ok := want[k]
		if !ok {
			t.Fatalf("%+v is a window of which nothing is known", got)
		}
		if w.Count == 0 {
			w.Min, w.Max = 0, 0
		}
		if got.Count != w.Count || got.Estimated != w.Estimated || got.Corrected != w.Corrected ||
			got.Resets != w.Resets || got.Exchanges != w.Exchanges || got.Min != w.Min || got.Max != w.Max ||
			!near(got.Sum, w.Sum, 0) || !near(got.Energy, w.Energy, w.Max) {
			t.Fatalf("%s at %s: got %+v, want %+v", f.Series()[got.Series].Key(), time.Unix(0, got.Start).UTC(), got, w)
		}
		if got.Series < before.Series || got.Series == before.Series && got.Span == before.Span && got.Start < before.End {
			t.Fatalf("%+v comes after %+v", got, before)
		}
		before = got
		seen++
	}
	if seen != len(want) {
		t.Fatalf("%d rows, want %d", seen, len(want))
	}
}

// TestTruth holds the rows against the naive recomputation from the deliveries.
func TestTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f, err := fleet.New(config(t))
		if err != nil {
			t.Fatal(err)
		}
		winners, n := naive(t, f)
		compareRows(t, f, naiveRows(t, f, winners))
		totals := f.Totals()
		if totals.Deliveries != n.Deliveries || totals.Readings != n.Readings || totals.Versions != n.Versions ||
			totals.Identities != n.Identities || totals.Winners != n.Winners {
			t.Fatalf("totals %+v, counted %+v", totals, n)
		}
	})
}

// platform runs deliveries through bronze, silver and gold.
type platform struct {
	decoder  bronze.Decoder
	judge    *silver.Judge
	versions map[reading.Series][]gold.Version
}

// take decodes and judges a delivery and returns how it ends: a rule's name, or
// "" when it counts.
func (p *platform) take(t *testing.T, d *fleet.Delivery, sequence uint64) string {
	t.Helper()
	contentType := fleet.TypeJSON
	if d.Undecodable() {
		contentType = d.Defect.ContentType
	}
	end, parts := "", 0
	p.decoder.Decode(contentType, d.AppendJSON(nil), func(index uint32, r reading.Reading) {
		parts++
		stamp := reading.Stamp{Received: d.Arrival, Sequence: sequence, Index: index}
		j := p.judge.Bench(r.EntityID, r.Metric, r.Unit).Judge(r, stamp, nil)
		if !j.Accepted() {
			rule, _ := j.Refused.First()
			end = rule.String()
			return
		}
		p.versions[j.Series()] = append(p.versions[j.Series()], gold.Version{
			Time: j.Reading.Time, Value: j.Reading.Value, Revision: j.Reading.Revision, Length: j.Reading.Length,
			Flags: j.Flags, Epoch: j.Epoch, Quality: j.Reading.Quality, Stamp: stamp,
		})
	}, func(bronze.Fault) {
		parts++
		end = reading.Undecodable.String()
	})
	if parts != 1 {
		t.Errorf("%s is %d readings or faults, not 1", d.AppendJSON(nil), parts)
	}
	return end
}

// TestPlatformAgrees runs a fleet through the platform's own functions: what is
// malformed ends in the quarantine that the fleet expects, and what counts folds
// to the fleet's rows.
func TestPlatformAgrees(t *testing.T) {
	t.Parallel()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	config := small()
	config.Cadence = 5 * time.Minute
	config.Shares.Malformed = 0.2
	f := newFleet(t, config)
	p := platform{judge: silver.NewJudge(c), versions: make(map[reading.Series][]gold.Version)}
	seen := make(map[string]bool) // defect and metric
	sequence := uint64(0)
	for d := range f.Deliveries() {
		sequence++
		want := ""
		if d.Defect != nil {
			want = d.Defect.Rule.String()
			if d.Defect.Rule == reading.Limit { // ingest's, and silver's too if it came so far
				want = reading.BadIdentifier.String()
			}
			seen[d.Defect.Name+f.Series()[d.Series].Metric] = true
		}
		if got := p.take(t, &d, sequence); got != want {
			t.Fatalf("%.200s ends as %q, want %q", d.AppendJSON(nil), got, want)
		}
	}
	if least := (len(fleet.Defects()) - 1) * 9; len(seen) < least {
		t.Errorf("%d pairs of defect and metric were seen, want %d", len(seen), least)
	}
	winners := make([][]gold.Version, len(f.Series()))
	for i, s := range f.Series() {
		winners[i] = gold.Winners(nil, gold.Normalize(p.versions[s.Key()]))
	}
	want := make(map[key]fleet.Row)
	for i, s := range f.Series() {
		m := c.Metric(s.Key())
		for span, w := range divisions(t, f, s) {
			for _, g := range answers(t, m, w, winners[i]) {
				if g.Stats.Count == 0 && !g.Spanned() {
					continue
				}
				want[key{i, span, g.Start}] = fleet.Row{
					Count: g.Stats.Count, Estimated: g.Stats.EstimatedCount, Corrected: g.Stats.CorrectedCount,
					Resets: g.Stats.Resets, Exchanges: g.Stats.Exchanges, Sum: g.Stats.Sum, Min: g.Stats.Min, Max: g.Stats.Max,
					Energy: g.Stats.Energy + g.Stats.Advance,
				}
			}
		}
	}
	compareRows(t, f, want)
}

// answers folds winners into windows by way of base rows.
func answers(t *testing.T, m *catalog.Metric, w gold.Windows, winners []gold.Version) (out []gold.Aggregate) {
	t.Helper()
	if len(winners) == 0 {
		return nil
	}
	last := &winners[len(winners)-1]
	lowest, _ := w.Bounds(winners[0].Time)
	_, highest := w.Bounds(last.Time + max(int64(last.Length)-1, 0))
	a := gold.NewAggregator(m, w, highest, func(g gold.Aggregate) error {
		out = append(out, g)
		return nil
	})
	add := a.Add
	spread := gold.NewSpread(m, w, lowest, highest, a.Add)
	if m.Interval() {
		add = func(row *gold.Stored) error { return spread.Add(row, nil) }
	}
	for len(winners) > 0 {
		start := gold.WindowStart(winners[0].Time, m.Window)
		n := 0
		for n < len(winners) && winners[n].Time < start+int64(m.Window) {
			n++
		}
		fold := gold.Fold(m, winners[:n], start+int64(m.Window))
		row := gold.Stored{Start: start, Width: m.Window, Summary: gold.Summarize(m, start, m.Window, fold)}
		if err := add(&row); err != nil {
			t.Fatal(err)
		}
		winners = winners[n:]
	}
	if err := spread.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := a.Finish(); err != nil {
		t.Fatal(err)
	}
	return out
}
