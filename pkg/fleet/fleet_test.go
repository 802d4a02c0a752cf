package fleet_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/fleet"
)

// small returns a fleet of every model, over two changes of clocks, in which
// everything goes wrong often.
func small() fleet.Config {
	c := fleet.Default()
	c.Series, c.Days = 36, 12
	c.Start = time.Date(2025, 3, 25, 0, 0, 0, 0, time.UTC)
	for _, s := range c.Shares.All() {
		*s.Value = min(1, *s.Value*20)
	}
	return c
}

func newFleet(t testing.TB, c fleet.Config) *fleet.Fleet {
	t.Helper()
	f, err := fleet.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// digest returns the hash of all that a fleet yields.
func digest(f *fleet.Fleet) string {
	h := sha256.New()
	var line []byte
	for d := range f.Deliveries() {
		line = fmt.Appendf(line[:0], "%d %s ", d.Arrival, d.Cause)
		h.Write(append(d.AppendJSON(line), '\n'))
	}
	for r := range f.Rows() {
		line = fmt.Appendln(line[:0], r)
		h.Write(line)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// TestSeed holds the promise that a seed yields the same bytes on every machine
// and with every build: the digest changes only with what the package simulates.
func TestSeed(t *testing.T) {
	t.Parallel()
	const golden = "b1e66a51565164a126c5b315fd07d217f4b1f363cbb8a17113072ec6b029be4d"
	c := small()
	f := newFleet(t, c)
	first := digest(f)
	if first != golden {
		t.Errorf("the digest of seed 1 is %s, it was %s", first, golden)
	}
	if again := digest(f); again != first {
		t.Errorf("a second iteration yields %s, the first %s", again, first)
	}
	c.Seed = 2
	if other := digest(newFleet(t, c)); other == first {
		t.Error("seed 2 yields what seed 1 does")
	}
}

func TestSeriesAreIndependent(t *testing.T) {
	t.Parallel()
	c := small()
	few := newFleet(t, c)
	c.Series *= 2
	many := newFleet(t, c)
	var want, got []string
	for d := range few.Deliveries() {
		want = append(want, string(d.AppendJSON(nil)))
	}
	for d := range many.Deliveries() {
		if d.Series < len(few.Series()) {
			got = append(got, string(d.AppendJSON(nil)))
		}
	}
	if !slices.Equal(want, got) {
		t.Errorf("more series change those that were there:\n%.2000s", cmp.Diff(want, got))
	}
}

func TestConfigFaultsAreAllReported(t *testing.T) {
	t.Parallel()
	c := fleet.Default()
	c.Series, c.Days, c.Cadence, c.Zones, c.Shares.Late = 0, 0, time.Millisecond, nil, 1.5
	c.Start, c.Registers.Rollover, c.Window = time.Unix(0, 0), -1, 20*time.Minute
	_, err := fleet.New(c)
	want := `fleet: series: 0 is not from 1 to 1000000
days: 0 is not from 1 to 3660
start: the year 1970 is not from 2001 to 2099
cadence: 1ms is not whole seconds, at most 24h
window: 20m0s is not a multiple of 15m0s up to 8784h0m0s
zones: none is given; UTC is one
late: 1.5 is not from 0 to 1
rollover: -1 is not from 0 to 1000000000`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("faults differ:\n%s", diff)
	}
	c = fleet.Default()
	c.Zones = []string{"Mars/Olympus"}
	if _, err := fleet.New(c); err == nil {
		t.Error("an unknown zone passes")
	}
}

// TestSeriesFollowTheCatalogue holds what the truth takes for granted against
// the built-in catalogue.
func TestSeriesFollowTheCatalogue(t *testing.T) {
	t.Parallel()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[fleet.Kind]struct {
		kind      catalog.Kind
		integrate catalog.Integrate
	}{
		fleet.Plain:    {catalog.Gauge, catalog.NoIntegral},
		fleet.Register: {catalog.Register, catalog.NoIntegral},
		fleet.Interval: {catalog.Interval, catalog.NoIntegral},
		fleet.Mean:     {catalog.Gauge, catalog.Mean},
		fleet.Linear:   {catalog.Gauge, catalog.Linear},
	}
	for _, s := range newFleet(t, small()).Series() {
		r, err := c.Resolve(s.Metric, s.SentUnit)
		if err != nil {
			t.Error(err)
			continue
		}
		m, want := r.Metric, kinds[s.Kind]
		if r.Unit != s.Unit || m.Kind != want.kind || m.Integrate != want.integrate || m.EnergyUnit != s.EnergyUnit ||
			m.Window != 15*time.Minute || m.Label != catalog.LabelStart {
			t.Errorf("%s is declared as %+v", s.Key(), *m)
		}
		if s.Kind == fleet.Linear && m.MaxGap != time.Hour {
			t.Errorf("%s bridges %s", s.Key(), m.MaxGap)
		}
		if rate := map[string]float64{"kWh": 1e6, "m3": 1e5}[s.Unit]; s.Kind == fleet.Register &&
			(m.MaxRate != rate || m.Rollover != 0 || m.ResetToZero || m.DipTol != 0) {
			t.Errorf("%s counts at most %g an hour", s.Key(), m.MaxRate)
		}
	}
}

// TestEverythingHappens counts deliveries and holds them against the totals.
func TestEverythingHappens(t *testing.T) {
	t.Parallel()
	f := newFleet(t, small())
	want := f.Totals()
	got := fleet.Totals{}
	defects := make(map[string]uint64)
	last := int64(0)
	for d := range f.Deliveries() {
		got.Deliveries++
		got.Sent[d.Cause]++
		if d.Arrival < last || d.Defect == nil && d.Arrival < d.Reading.Time {
			t.Fatalf("%+v arrives before what arrived at %d, or before it was taken", d, last)
		}
		last = d.Arrival
		if d.Defect != nil {
			defects[d.Defect.Name]++
		}
	}
	if got.Deliveries != want.Deliveries || got.Sent != want.Sent {
		t.Errorf("%d deliveries by cause %v; totals say %d by %v", got.Deliveries, got.Sent, want.Deliveries, want.Sent)
	}
	for cause, n := range want.Sent {
		if n == 0 {
			t.Errorf("no delivery is %s", fleet.Cause(cause))
		}
	}
	for _, q := range want.Quarantine {
		if q.Count == 0 || q.Count != defects[q.Defect.Name] {
			t.Errorf("%s: %d deliveries, totals say %d", q.Defect.Name, defects[q.Defect.Name], q.Count)
		}
	}
	if want.Gaps == 0 || want.Withdrawn == 0 || want.Resets == 0 || want.Exchanges == 0 || want.Rollovers == 0 {
		t.Errorf("something never happens: %+v", want)
	}
	conserves(t, f, &want)
}

func conserves(t testing.TB, f *fleet.Fleet, n *fleet.Totals) {
	t.Helper()
	s := &n.Sent
	if n.Slots != uint64(f.Slots()) || n.Slots != n.Gaps+n.Identities || n.Identities != n.Winners+n.Withdrawn ||
		n.Versions != n.Identities+s[fleet.Estimate]+s[fleet.Correction]+s[fleet.Withdrawal] ||
		n.Readings != n.Versions+s[fleet.Duplicate] || n.Deliveries != n.Readings+s[fleet.Malformed] {
		t.Errorf("totals do not add up: %+v", *n)
	}
}

// config draws the configuration of a small fleet.
func config(t *rapid.T) fleet.Config {
	cadences := []time.Duration{time.Minute, 5 * time.Minute, 7 * time.Minute, 15 * time.Minute, time.Hour}
	c := fleet.Config{
		Seed:    rapid.Uint64().Draw(t, "seed"),
		Series:  rapid.IntRange(1, 9).Draw(t, "series"),
		Days:    rapid.IntRange(1, 2).Draw(t, "days"),
		Start:   time.Date(2025, 1, 1, 0, 0, rapid.IntRange(0, 365*86400).Draw(t, "start"), 0, time.UTC),
		Cadence: rapid.SampledFrom(cadences).Draw(t, "cadence"),
		Window:  rapid.SampledFrom([]time.Duration{15 * time.Minute, 45 * time.Minute, 4 * time.Hour}).Draw(t, "window"),
		Zones:   rapid.SliceOfN(rapid.SampledFrom(fleet.Default().Zones), 1, 4).Draw(t, "zones"),
		Registers: fleet.Registers{
			MaxRate:     rapid.SampledFrom([]int64{0, 2, 50}).Draw(t, "max rate"),
			Rollover:    rapid.SampledFrom([]int64{0, 10, 100_000}).Draw(t, "rollover"),
			ResetToZero: rapid.Bool().Draw(t, "reset to zero"),
		},
	}
	for _, s := range c.Shares.All() {
		*s.Value = rapid.SampledFrom([]float64{0, 0.01, 0.1, 0.5}).Draw(t, s.Name)
	}
	return c
}

func BenchmarkDeliveries(b *testing.B) {
	c := fleet.Default()
	c.Series, c.Days = 2000, 1
	f := newFleet(b, c)
	readings := 0
	b.ReportAllocs()
	for b.Loop() {
		for range f.Deliveries() {
			readings++
		}
	}
	b.ReportMetric(float64(readings)/b.Elapsed().Seconds(), "readings/s")
}

func BenchmarkRows(b *testing.B) {
	c := fleet.Default()
	c.Series, c.Days = 2000, 1
	f := newFleet(b, c)
	b.ReportAllocs()
	for b.Loop() {
		for range f.Rows() {
		}
	}
	b.ReportMetric(float64(f.Slots())*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
}
