package gold_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
)

// drawChronicle draws what arrives of a series of six hours within a day: late,
// corrected, taken back, judged again. The first and the last reading arrive at
// once and stay.
func drawChronicle(t *rapid.T) chronicle {
	const minute, hour = int64(time.Minute), int64(time.Hour)
	sequence := uint64(0)
	one := rapid.Custom(func(t *rapid.T) gold.Version {
		sequence++
		received := goldtest.Start + hour*rapid.Int64Range(1, 24).Draw(t, "received")
		return gold.Version{
			Time:     goldtest.Start + 10*minute*rapid.Int64Range(1, 35).Draw(t, "time"),
			Value:    rapid.SampledFrom([]float64{1, 2, 3}).Draw(t, "value"),
			Epoch:    rapid.Uint64Range(1, 2).Draw(t, "epoch"),
			Quality:  rapid.SampledFrom([]reading.Quality{reading.Actual, reading.Corrected, reading.Withdrawn}).Draw(t, "quality"),
			Rejected: rapid.IntRange(0, 5).Draw(t, "rejected") == 0,
			Stamp:    reading.Stamp{Received: received, Sequence: rapid.Uint64Range(1, 3).Draw(t, "sequence")},
		}
	})
	end := func(at int64) gold.Version {
		return gold.Version{
			Time: goldtest.Start + at, Value: 1, Epoch: 1, Quality: reading.Actual,
			Stamp: reading.Stamp{Received: goldtest.Start},
		}
	}
	arrivals := rapid.SliceOfN(one, 0, 25).Draw(t, "arrivals")
	return chronicle{append(arrivals, end(0), end(6*hour)), goldtest.Start + 12*hour + hour/2}
}

// rows returns the base rows of the chronicle, and their versions.
func (c chronicle) rows(m *catalog.Metric) (rows []gold.Stored, versions [][]gold.Version) {
	h := catalog.NewHistory(map[uint64]int64{1: 0, 2: c.activated})
	set := gold.Normalize(slices.Clone(c.arrivals))
	for len(set) > 0 {
		row := gold.Stored{Start: gold.WindowStart(set[0].Time, m.Window), Width: m.Window}
		n := search(set, row.End())
		row.Summary = gold.Summarize(m, row.Start, row.Width, gold.Fold(m, gold.Winners(nil, set[:n]), row.End()))
		row.Standing = gold.Stand(h, set[:n])
		rows, versions = append(rows, row), append(versions, set[:n])
		set = set[n:]
	}
	return rows, versions
}

// answer answers windows from the rows of [from, until) and the nearest rows with
// readings on either side, as the query service does.
func (c chronicle) answer(t *rapid.T, m *catalog.Metric, w gold.Windows, from, until int64) (got []gold.Aggregate) {
	a := gold.NewAggregator(m, w, until, func(g gold.Aggregate) error {
		got = append(got, g)
		return nil
	})
	a.SetHistory(catalog.NewHistory(map[uint64]int64{1: 0, 2: c.activated}))
	a.Begin(from)
	lowest, _ := w.Bounds(from)
	_, highest := w.Bounds(until - 1)
	if m.Paired() {
		lowest = gold.WindowStart(lowest, m.Window)
		highest = gold.WindowStart(highest-1, m.Window) + int64(m.Window)
	}
	rows, versions := c.rows(m)
	if !m.Paired() {
		spread := gold.NewSpread(m, w, lowest, highest, a.Add)
		spread.SetHistory(catalog.NewHistory(map[uint64]int64{1: 0, 2: c.activated}))
		for i := range rows {
			if err := spread.Add(&rows[i], versions[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(spread.Finish(), a.Finish()); err != nil {
			t.Fatal(err)
		}
		return got
	}
	left, right, before, behind := -1, len(rows), int64(0), int64(0)
	for i := range rows {
		if row := &rows[i]; row.Stats.Count > 0 && row.Start < lowest {
			left, before = i, 0
		} else if row.Start < lowest {
			before = max(before, row.Standing.Settled)
		}
	}
	for i := len(rows) - 1; i >= 0; i-- {
		if row := &rows[i]; row.Stats.Count > 0 && row.Start >= highest {
			right, behind = i, 0
		} else if row.Start >= highest {
			behind = max(behind, row.Standing.Settled)
		}
	}
	for i := range rows {
		row := rows[i]
		switch {
		case i == left:
			row.Emptied = before
		case i == right:
			row.Emptied = behind
		case row.Start < lowest || row.Start >= highest:
			continue
		}
		var err error
		if _, end := w.Bounds(row.Start); end < row.End() {
			err = a.AddCut(&row, versions[i])
		} else {
			err = a.Add(&row)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Finish(); err != nil {
		t.Fatal(err)
	}
	return got
}

// told returns what the answer for [a, b) rests on: its readings, those that reach
// into it and, of paired metrics, those at the other ends of the pairs that lie
// across its edges.
func told(m *catalog.Metric, winners []gold.Version, a, b int64) []gold.Version {
	i, j := search(winners, a), search(winners, b)
	if !m.Paired() {
		reaching := slices.DeleteFunc(slices.Clone(winners[:i]), func(v gold.Version) bool {
			return v.Time+int64(v.Length) <= a
		})
		return append(reaching, winners[i:j]...)
	}
	// A pair that ends where the window begins has no share in it.
	if i > 0 && (i == len(winners) || winners[i].Time != a) {
		i--
	}
	return winners[i:min(j+1, len(winners))]
}

// TestRestatedIsChangedAfterClosing compares the finality of answers with a walk through
// the history of what they rest on (invariant 15).
func TestRestatedIsChangedAfterClosing(t *testing.T) {
	t.Parallel()
	const hour = int64(time.Hour)
	metrics := []catalog.Metric{
		{Kind: catalog.Gauge},
		{Kind: catalog.Interval, EnergyUnit: "kWh", PowerUnit: "kW"},
		{Kind: catalog.Register, EnergyUnit: "kWh", PowerUnit: "kW"},
		{Kind: catalog.Register, EnergyUnit: "kWh", PowerUnit: "kW", MaxGap: 20 * time.Minute},
		{Kind: catalog.Gauge, Integrate: catalog.Step, EnergyUnit: "kWh", PowerUnit: "kW"},
	}
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(metrics).Draw(t, "metric")
		m.Window = 15 * time.Minute
		m.Lateness = time.Duration(rapid.Int64Range(0, 6).Draw(t, "lateness")) * time.Hour
		c := drawChronicle(t)
		if m.Kind == catalog.Interval {
			c = c.spanning()
		}
		w := narrowWindows(t)
		from := goldtest.Start + rapid.Int64Range(0, 300).Draw(t, "from")*int64(time.Minute)
		until := from + rapid.Int64Range(1, 300).Draw(t, "span")*int64(time.Minute)
		for _, g := range c.answer(t, &m, w, from, until) {
			closes := max(g.End, c.first(&m, g.Start, g.End)) + int64(m.Lateness)
			if got := g.ClosesAt(&m); got != closes {
				t.Fatalf("[%d, %d) closes at %d, want %d", g.Start, g.End, got, closes)
			}
			if got := g.Finality(&m, closes-1); got != gold.Provisional {
				t.Fatalf("before it closes [%d, %d) is %s", g.Start, g.End, got)
			}
			want := gold.Final
			seen := func(v []gold.Version) []gold.Version { return told(&m, v, g.Start, g.End) }
			if c.lastChange(seen) > closes {
				want = gold.Restated
			}
			if got := g.Finality(&m, max(closes, goldtest.Start+48*hour)); got != want {
				t.Fatalf("[%d, %d) is %s, want %s: it changed at %d and closed at %d; settled at %d",
					g.Start, g.End, got, want, c.lastChange(seen), closes, g.Standing.Settled)
			}
		}
	})
}

// first returns when the first reading of [a, b) was received or, of those that
// reach into it, the first of a row that holds one. Of a window without readings
// between two it is the first of the rows that hold these.
func (c chronicle) first(m *catalog.Metric, a, b int64) (at int64) {
	receive := func(from, to int64) {
		for _, v := range c.arrivals {
			if v.Time >= from && v.Time < to && (at == 0 || v.Stamp.Received < at) {
				at = v.Stamp.Received
			}
		}
	}
	receive(a, b)
	for _, v := range c.known(math.MaxInt64) {
		if v.Time < a && v.Time+int64(v.Length) > a {
			row := gold.WindowStart(v.Time, m.Window)
			receive(row, row+int64(m.Window))
		}
	}
	winners := c.known(math.MaxInt64)
	if n := search(winners, a); at == 0 && m.Paired() && n > 0 && n < len(winners) {
		for _, v := range winners[n-1 : n+1] {
			row := gold.WindowStart(v.Time, m.Window)
			receive(row, row+int64(m.Window))
		}
	}
	return at
}

// spanning is the chronicle with readings that reach beyond their rows. None is
// taken back: that is not told to the windows that they reached into.
func (c chronicle) spanning() chronicle {
	arrivals := slices.DeleteFunc(slices.Clone(c.arrivals), func(v gold.Version) bool {
		return v.Quality == reading.Withdrawn || v.Rejected
	})
	for i := range arrivals {
		v := &arrivals[i]
		v.Length = time.Duration(v.Time/int64(10*time.Minute)%4) * 13 * time.Minute
	}
	return chronicle{arrivals, c.activated}
}

// narrowWindows draws windows of which some hours have several, or part of one.
func narrowWindows(t *rapid.T) gold.Windows {
	if rapid.Bool().Draw(t, "calendar") {
		return anyWindows(t)
	}
	quarters := rapid.SampledFrom([]int64{1, 2, 3, 8}).Draw(t, "quarters")
	w, err := gold.FixedWindows(time.Duration(quarters) * 15 * time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestNeighboursRestate has a register that is read every hour. What changes
// late restates the windows that it is shared among, whatever part of them is
// asked for.
func TestNeighboursRestate(t *testing.T) {
	t.Parallel()
	const minute, hour, late = int64(time.Minute), int64(time.Hour), int64(100 * time.Hour)
	read := func(at, received int64, q reading.Quality) gold.Version {
		return gold.Version{
			Time: goldtest.Start + at, Value: float64(at), Epoch: 1, Quality: q,
			Stamp: reading.Stamp{Received: goldtest.Start + received, Sequence: uint64(received)},
		}
	}
	m := &catalog.Metric{
		Kind: catalog.Register, Window: 15 * time.Minute, EnergyUnit: "kWh", PowerUnit: "kW", Lateness: time.Hour,
	}
	w, err := gold.FixedWindows(m.Window)
	if err != nil {
		t.Fatal(err)
	}
	var usual []gold.Version
	for at := range int64(7) {
		usual = append(usual, read(at*hour, at*hour+minute, reading.Actual))
	}
	for _, tt := range []struct {
		name     string
		late     gold.Version
		from, to int64 // the windows that it restates, in quarters of an hour
		own      int64 // among them one that it is the first reading of, which closes anew
	}{
		{"a reading", read(3*hour+20*minute, late, reading.Actual), 12, 16, 13},
		{"one at the beginning of a window", read(3*hour+30*minute, late, reading.Actual), 12, 16, 14},
		{"a correction", read(3*hour, late, reading.Corrected), 8, 16, -1},
		{"a withdrawal", read(3*hour, late, reading.Withdrawn), 8, 16, -1},
		{"an estimate that loses", read(3*hour, late, reading.Estimated), 0, 0, -1},
		{"a reading behind the last", read(8*hour, late, reading.Actual), 24, 32, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := chronicle{arrivals: append(slices.Clip(usual), tt.late)}
			rapid.Check(t, func(t *rapid.T) {
				from := rapid.Int64Range(0, 31).Draw(t, "from")
				to := rapid.Int64Range(from+1, 32).Draw(t, "to")
				quarter := 15 * minute
				for i, g := range c.answer(t, m, w, goldtest.Start+from*quarter, goldtest.Start+to*quarter) {
					n, want := from+int64(i), gold.Final
					if n >= tt.from && n < tt.to && n != tt.own {
						want = gold.Restated
					}
					if got := g.Finality(m, goldtest.Start+2*late); got != want {
						t.Errorf("quarter %d of [%d, %d) is %s, want %s", n, from, to, got, want)
					}
				}
			})
		})
	}
}
