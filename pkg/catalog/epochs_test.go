package catalog_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

const first = `
units:
  kWh: {dimension: energy}
  Wh: {dimension: energy, den: 1000}
  V: {dimension: voltage}
metrics:
  energy: {kind: interval, unit: kWh, length: 15m}
  index: {kind: register, unit: kWh}
  voltage: {kind: gauge, unit: V, max: 500, expectations: {sane: {expect: "value != 42.0", else: warn}}}
`

func appended(t *testing.T, documents ...string) (epochs catalog.Epochs) {
	t.Helper()
	for i, d := range documents {
		var err error
		if epochs, err = epochs.Append(time.Unix(int64(i), 1), []byte(d)); err != nil {
			t.Fatal(err)
		}
	}
	return epochs
}

func TestChanges(t *testing.T) {
	t.Parallel()
	change := func(old, wanted string) string {
		if !strings.Contains(first, old) {
			t.Fatalf("%q is not in the document", old)
		}
		return strings.Replace(first, old, wanted, 1)
	}
	tests := []struct {
		name      string
		documents []string // behind the first
		want      catalog.Changes
	}{
		{"a comment changes nothing", []string{first + "# more\n"}, catalog.Changes{}},
		{"nor does a description, a cadence or a lateness", []string{
			change("max: 500", "max: 500, description: x, cadence: 1m, lateness: 2h")}, catalog.Changes{}},
		{"a limit changes judgements", []string{change("max: 500", "max: 400")}, catalog.Changes{Judged: []string{"voltage"}}},
		{"so does an expectation", []string{change("42.0", "43.0")}, catalog.Changes{Judged: []string{"voltage"}}},
		{"so does the default length", []string{change("15m", "30m")}, catalog.Changes{Judged: []string{"energy"}}},
		{"a factor changes all that takes the unit", []string{change("den: 1000", "den: 100")},
			catalog.Changes{Judged: []string{"energy", "index"}, Undeclared: true}},
		{"the skew changes all", []string{"future_skew: 1m\n" + first},
			catalog.Changes{Judged: []string{"energy", "index", "voltage"}, Undeclared: true}},
		{"a register's parameters change statistics", []string{change("register, unit: kWh", "register, unit: kWh, dip_tolerance: 1")},
			catalog.Changes{Folded: []string{"index"}}},
		{"a metric that is declared anew changes from an undeclared one", []string{first + "  more: {kind: gauge, unit: V, max: 1}\n"},
			catalog.Changes{Judged: []string{"more"}}},
		{"one like an undeclared one too: it takes no other units", []string{first + "  more: {kind: gauge, unit: V}\n"},
			catalog.Changes{Judged: []string{"more"}}},
		{"a metric that is no longer declared changes", []string{change("voltage: {kind: gauge", "other: {kind: gauge")},
			catalog.Changes{Judged: []string{"other", "voltage"}}},
		{"a change that was taken back counts, for what came in meanwhile",
			[]string{change("max: 500", "max: 400"), first}, catalog.Changes{Judged: []string{"voltage"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			epochs := appended(t, append([]string{first}, tt.documents...)...)
			if diff := cmp.Diff(tt.want, epochs.Newest().ChangedSince(1)); diff != "" {
				t.Error(diff)
			}
			if again := appended(t, append([]string{first}, append(tt.documents, tt.documents[len(tt.documents)-1]+"#\n")...)...); !cmp.Equal(
				again.Newest().ChangedSince(epochs.Len()), catalog.Changes{}) {
				t.Errorf("a further epoch that changes nothing changes %+v", again.Newest().ChangedSince(epochs.Len()))
			}
		})
	}
}

func TestEpochs(t *testing.T) {
	t.Parallel()
	epochs := appended(t, first, strings.Replace(first, "max: 500", "max: 400", 1), first+"#")
	voltage := reading.Series{EntityID: "e", Metric: "voltage", Unit: "V"}
	for n, want := range []uint64{1, 2, 3} {
		c, ok := epochs.At(uint64(n + 1))
		if !ok || c.Epoch() != want || c.Metric(voltage).Judged != want || c.Metric(voltage).Folded != 1 ||
			c.Metric(reading.Series{Metric: "index"}).Judged != 1 {
			t.Errorf("epoch %d: %+v", n+1, c.Metric(voltage))
		}
		if !c.Activated().Equal(time.Unix(int64(n), 0)) { // 1 ns is below what Postgres keeps
			t.Errorf("epoch %d was activated at %s", n+1, c.Activated())
		}
	}
	if _, ok := epochs.At(4); ok || len(epochs.Judging("voltage")) != 3 || len(epochs.Judging("index")) != 1 {
		t.Error("an epoch that is none, or one that does not judge")
	}
	if _, err := epochs.Append(time.Now(), []byte("metrics: {a: {kind: x, unit: y}}")); err == nil || epochs.Len() != 3 {
		t.Errorf("a document with faults: %v", err)
	}
	if names := appended(t, first, strings.Replace(first, "length: 15m", "window: 5m", 1)).Newest().Rewindowed(
		appended(t, first).Newest()); !cmp.Equal(names, []string{"energy"}) {
		t.Errorf("other windows: %v", names)
	}
}

func TestExpectations(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
	r := reading.Reading{
		EntityID: "meter-7", Metric: "m", Unit: "V", Time: at.UnixNano(), Value: 230,
		Quality: reading.Estimated, Revision: 3, Length: 15 * time.Minute,
	}
	tests := []struct {
		expect string
		met    bool
	}{
		{"value < 300.0", true},
		{"value > 300.0 || quality == 'estimated'", true},
		{"entity.startsWith('meter-') && unit == 'V' && metric == 'm'", true},
		{"time.getHours() == 1 && time < timestamp('2026-03-29T01:31:00Z')", true},
		{"revision == 3u && length == duration('15m')", true},
		{"value == 231.0", false},
		{"[1, 2][int(value)] == 1", false}, // an error is no yes
		{"entity.matches('^[a-z]+-[0-9]+$')", true},
	}
	for _, tt := range tests {
		document := fmt.Sprintf("units: {V: {dimension: voltage}}\nmetrics: {m: {kind: gauge, unit: V, expectations: "+
			"{e: {expect: %q, else: warn}}}}", tt.expect)
		c, err := catalog.Parse(1, []byte(document))
		if err != nil {
			t.Error(err)
			continue
		}
		e := c.Metric(reading.Series{Metric: "m"}).Expectations[0]
		if met, why := e.Met(&r); met != tt.met || (why == "") != met {
			t.Errorf("%s: %t, %s", tt.expect, met, why)
		}
	}
	for expect, want := range map[string]string{
		"": "expect is missing", "value": "want true or false", "value <": "Syntax error", "now() > time": "undeclared reference",
		strings.Repeat("value < 1.0 && ", 400) + "true": "at most 4096",
	} {
		_, err := catalog.Parse(1, fmt.Appendf(nil, "units: {V: {dimension: voltage}}\nmetrics:\n  m:\n    kind: gauge\n    unit: V\n"+
			"    expectations:\n      e: {expect: %q, else: refuse}\n", expect))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "line 7: metric m: expectation e") ||
			!strings.Contains(err.Error(), `else "refuse" must be one of [quarantine warn]`) {
			t.Errorf("%q: %v", expect, err)
		}
	}
	// Cost is bounded, whatever is expected of however long a name.
	c, err := catalog.Parse(1, []byte("units: {V: {dimension: voltage}}\nmetrics: {m: {kind: gauge, unit: V, expectations: "+
		"{e: {expect: \"['a','b','c','d'].all(a, ['a','b','c','d'].all(b, ['a','b','c','d'].all(c, ['a','b','c','d'].all(d, "+
		"['a','b','c','d'].all(e, ['a','b','c','d'].all(f, a+b+c+d+e+f != entity))))))\", else: warn}}}}"))
	if err != nil {
		t.Fatal(err)
	}
	e := c.Metric(reading.Series{Metric: "m"}).Expectations[0]
	if met, why := e.Met(&r); met || !strings.Contains(why, "cost limit") {
		t.Errorf("an expression without end: %t, %s", met, why)
	}
}

// An epoch behind those that are known is in force at no time that one can tell:
// it was not from the beginning.
func TestHistory(t *testing.T) {
	t.Parallel()
	h := catalog.NewHistory(map[uint64]int64{2: 5, 3: 7, 4: 9})
	for epoch, want := range map[uint64]int64{0: 0, 1: 0, 2: 0, 3: 7, 4: 9, 5: math.MaxInt64} {
		if got := h.Since(epoch); got != want {
			t.Errorf("epoch %d: since %d, want %d", epoch, got, want)
		}
	}
	if got := (catalog.History{}).Since(3); got != 0 {
		t.Errorf("without a history: since %d", got)
	}
}
