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

// naiveRow returns the row of some winners.
func naiveRow(s *fleet.Series, declared fleet.Registers, points []point) (r fleet.Row) {
	r.Count, r.Min, r.Max = uint64(len(points)), math.Inf(1), math.Inf(-1)
	for i, p := range points {
		r.Sum += p.value
		r.Min, r.Max = math.Min(r.Min, p.value), math.Max(r.Max, p.value)
		switch p.quality {
		case reading.Estimated:
			r.Estimated++
		case reading.Corrected:
			r.Corrected++
		default:
		}
		switch s.Kind {
		case fleet.Interval:
			r.Energy += p.value
		case fleet.Mean:
			r.Energy += p.value * s.Length.Hours()
		default:
		}
		if i == 0 {
			continue
		}
		before := points[i-1]
		hours := time.Duration(p.time - before.time).Hours()
		switch s.Kind {
		case fleet.Linear:
			if hours <= 1 {
				r.Energy += (before.value + p.value) / 2 * hours
			}
		case fleet.Register:
			naiveStep(s, declared, &r, before.value, p.value, hours)
		default:
		}
	}
	return r
}

// naiveStep reads a register's step after the design, §7.
func naiveStep(s *fleet.Series, declared fleet.Registers, r *fleet.Row, prev, cur, hours float64) {
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
		r.Energy += d
	case modulus > 0 && d < 0 && 0 <= d+modulus && d+modulus <= math.Min(limit, modulus/2+slack):
		r.Energy += d + modulus
		r.Resets++
	case declared.ResetToZero && d < 0 && cur <= limit:
		r.Energy += cur
		r.Resets++
	default:
		r.Exchanges++
	}
}

// key names a row: what differs between the two ways to compute it is left out.
type key struct {
	series int
	span   fleet.Span
	start  int64
}

// naiveRows groups winners into windows.
func naiveRows(f *fleet.Fleet, winners [][]point) map[key]fleet.Row {
	rows := make(map[key]fleet.Row)
	for i, points := range winners {
		s := f.Series()[i]
		groups := make(map[key][]point)
		for _, p := range points {
			at := time.Unix(0, p.time)
			quarter := key{i, fleet.QuarterHour, at.Truncate(15 * time.Minute).UnixNano()}
			groups[quarter] = append(groups[quarter], p)
			zone := s.Entity.Location()
			y, m, d := at.In(zone).Date()
			day := key{i, fleet.Day, time.Date(y, m, d, 0, 0, 0, 0, zone).UnixNano()}
			groups[day] = append(groups[day], p)
		}
		for k, group := range groups {
			rows[k] = naiveRow(s, f.Config().Registers, group)
		}
	}
	return rows
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
			t.Fatalf("%+v is a window without a winner", got)
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
		compareRows(t, f, naiveRows(f, winners))
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
		j := p.judge.Bench(r.EntityID, r.Metric, r.Unit).Judge(r, stamp, 0)
		if !j.Accepted() {
			rule, _ := j.Refused.First()
			end = rule.String()
			return
		}
		p.versions[j.Series()] = append(p.versions[j.Series()], gold.Version{
			Time: j.Reading.Time, Value: j.Reading.Value, Revision: j.Reading.Revision, Length: j.Reading.Length,
			Flags: j.Flags, Epoch: p.judge.Epoch(), Quality: j.Reading.Quality, Stamp: stamp,
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
	for row := range f.Rows() {
		s := f.Series()[row.Series]
		list := winners[row.Series]
		byTime := func(v gold.Version, at int64) int { return cmp.Compare(v.Time, at) }
		from, _ := slices.BinarySearchFunc(list, row.Start, byTime)
		to, _ := slices.BinarySearchFunc(list, row.End, byTime)
		got := gold.Fold(c.Metric(s.Key()), list[from:to], row.End)
		if got.Count != row.Count || got.EstimatedCount != row.Estimated || got.CorrectedCount != row.Corrected ||
			got.Min != row.Min || got.Max != row.Max || got.Exchanges != row.Exchanges || got.Resets != row.Resets ||
			!near(got.Sum, row.Sum, 0) || !near(got.Energy+got.Advance, row.Energy, row.Max) {
			t.Fatalf("%s at %s: gold has %+v, the fleet %+v", s.Key(), time.Unix(0, row.Start).UTC(), got, row)
		}
	}
}
