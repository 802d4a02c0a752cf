package query

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/entity"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// sites is meters of which each has an amount for each quarter of an hour, as an
// interval and as the step of a register, and a registry that says where they
// belong.
type sites struct {
	*library
	origin  int64
	amounts map[string][]float64 // by entity and quarter of an hour
	records []entity.Record
}

const quarter = int64(15 * time.Minute)

// newSites draws three days around a change of the clocks.
func newSites(t *rapid.T, l *library) *sites {
	l.exec(t, "TRUNCATE gold.base, gold.parts, gold.days, gold.changed_days, gold.series, gold.entities")
	s := &sites{library: l, amounts: make(map[string][]float64)}
	s.origin = time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC).UnixNano()
	collector := gold.NewCollector(l.catalog)
	for _, id := range []string{"m1", "m2", "m3"} {
		index, values := 0.0, rapid.SliceOfN(rapid.IntRange(0, 9), 200, 300).Draw(t, id)
		for i, v := range values {
			at := s.origin + int64(i)*quarter
			version := gold.Version{Time: at, Epoch: 1, Quality: reading.Actual, Stamp: reading.Stamp{Received: at}}
			version.Value, version.Length = float64(v), time.Duration(quarter)
			collector.Add(reading.Series{EntityID: id, Metric: "active_energy", Unit: "kWh"}, version)
			version.Value, version.Length = index, 0
			collector.Add(reading.Series{EntityID: id, Metric: "active_energy_import", Unit: "kWh"}, version)
			index += float64(v)
			s.amounts[id] = append(s.amounts[id], float64(v))
		}
	}
	w := l.store.NewWriter(0, l.catalog, goldstore.WriterConfig{})
	if _, err := w.Flush(t.Context(), goldstore.Flush{Groups: collector.Take()}); err != nil {
		t.Fatal(err)
	}
	s.register(t)
	return s
}

// register draws records that change at any second.
func (s *sites) register(t *rapid.T) {
	name := func(names ...string) *rapid.Generator[string] { return rapid.SampledFrom(names) }
	known := make(map[goldstore.EntityKey]bool)
	for _, r := range rapid.SliceOfN(rapid.Custom(func(t *rapid.T) entity.Record {
		r := entity.Record{
			ID: name("m1", "m2", "m3").Draw(t, "id"), Parent: name("", "north", "south").Draw(t, "parent"),
			Zone: name("UTC", "Europe/Paris", "Asia/Kathmandu", "America/New_York").Draw(t, "zone"),
		}
		if rapid.Bool().Draw(t, "has a beginning") {
			r.ValidFrom = s.origin + int64(rapid.IntRange(-1000, 250_000).Draw(t, "second"))*int64(time.Second)
		}
		if tariff := name("", "day", "night").Draw(t, "tariff"); tariff != "" {
			r.Labels = map[string]string{"tariff": tariff}
		}
		return r
	}), 0, 8).Draw(t, "records") {
		if key := (goldstore.EntityKey{ID: r.ID, ValidFrom: r.ValidFrom}); !known[key] {
			known[key] = true
			s.records = append(s.records, r)
		}
	}
	if _, err := s.store.PutEntities(t.Context(), s.records); err != nil {
		t.Fatal(err)
	}
}

// at is a search for the record in force, from one end to the other.
func (s *sites) at(id string, t int64) entity.Record {
	found := entity.Record{ID: id, ValidFrom: -1}
	for _, r := range s.records {
		if r.ID == id && r.ValidFrom <= t && r.ValidFrom > found.ValidFrom {
			found = r
		}
	}
	return found
}

// dates walks through the days of an entity's own zones and returns the local
// date that each quarter of an hour belongs to.
func (s *sites) dates(t *rapid.T, id string) (dates []string) {
	start := s.origin - 40*24*int64(time.Hour)
	for len(dates) < len(s.amounts[id]) {
		zone, err := entity.Location(s.at(id, start).Zone)
		if err != nil {
			t.Fatal(err)
		}
		y, m, d := time.Unix(0, start).In(zone).Date()
		end := time.Date(y, m, d+1, 0, 0, 0, 0, zone).UnixNano()
		for len(dates) < len(s.amounts[id]) && s.origin+int64(len(dates))*quarter < end {
			dates = append(dates, time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
		}
		start = end
	}
	return dates
}

// groupWindow is a window of a group, by its start or its date.
type groupWindow struct {
	metric, key string
	start       int64
	date        string
}

// TestGroupsFollowTheRegistry sums meters by what the registry says of each base
// window when it begins, and compares with a loop over the base windows.
func TestGroupsFollowTheRegistry(t *testing.T) {
	t.Parallel()
	l := newLibrary(t, defaultDocument(t))
	rapid.Check(t, func(t *rapid.T) {
		s := newSites(t, l)
		var q question
		q.start, q.end = math.MinInt64, math.MaxInt64
		q.by = energyv1.GroupBy(rapid.IntRange(2, 4).Draw(t, "by"))
		if q.by == energyv1.GroupBy_GROUP_BY_LABEL {
			q.label = "tariff"
		}
		if rapid.Bool().Draw(t, "own zone") {
			q.calendar = gold.Day
		} else {
			q.windows = drawAsked(t).windows
		}
		if rapid.Bool().Draw(t, "by parent") {
			q.entities.Parents = []string{"north"}
		}
		if rapid.Bool().Draw(t, "by label") {
			q.entities.Labels = map[string]string{"tariff": "night"}
		}
		want, contributing := s.expected(t, &q)
		got := make(map[groupWindow]bool)
		for _, r := range s.respond(t, responder{question: q, now: s.origin}) {
			for _, a := range r.GetAggregates() {
				w := groupWindow{r.GetGroup().GetMetric(), r.GetGroup().GetKey(), a.GetStart().AsTime().UnixNano(), ""}
				if q.calendar != gold.NoCalendar {
					w.start, w.date = 0, a.GetDate()
				}
				got[w] = true
				energy := a.GetStatistics().GetEnergy() + a.GetStatistics().GetAdvance()
				if math.Abs(energy-want[w]) > 1e-9 {
					t.Errorf("%+v has %g, want %g", w, energy, want[w])
				}
				if n := len(contributing[w]); int(a.GetContributing()) != n || a.GetMembers() < a.GetContributing() {
					t.Errorf("%+v: %d of %d contribute, want %d", w, a.GetContributing(), a.GetMembers(), n)
				}
			}
		}
		for w := range want {
			if !got[w] {
				t.Errorf("%+v is not answered", w)
			}
		}
	})
}

// expected sums base window by base window.
func (s *sites) expected(
	t *rapid.T, q *question,
) (want map[groupWindow]float64, contributing map[groupWindow]map[string]bool) {
	want, contributing = make(map[groupWindow]float64), make(map[groupWindow]map[string]bool)
	for id, amounts := range s.amounts {
		dates := s.dates(t, id)
		for i, amount := range amounts {
			at := s.origin + int64(i)*quarter
			r := s.at(id, at)
			if len(q.entities.Parents) > 0 && r.Parent != "north" || len(q.entities.Labels) > 0 && r.Labels["tariff"] != "night" {
				continue
			}
			w := groupWindow{key: map[energyv1.GroupBy]string{
				energyv1.GroupBy_GROUP_BY_PARENT: r.Parent, energyv1.GroupBy_GROUP_BY_LABEL: r.Labels["tariff"],
			}[q.by]}
			if q.calendar != gold.NoCalendar {
				w.date = dates[i]
			} else {
				w.start, _ = q.windows.Bounds(at)
			}
			for _, metric := range []string{"active_energy", "active_energy_import"} {
				if w.metric = metric; contributing[w] == nil {
					contributing[w] = make(map[string]bool)
				}
				contributing[w][id] = true
				if metric == "active_energy" || i+1 < len(amounts) { // of a register the last step has no end yet
					want[w] += amount
				}
			}
		}
	}
	return want, contributing
}

func defaultDocument(t *testing.T) string {
	t.Helper()
	return openLibrary(t).catalog.Document()
}

// TestSeriesAnswersFollowTheRegistry asks for the series that have a label, in
// their own zones: what is answered of each is the time in which it has it.
func TestSeriesAnswersFollowTheRegistry(t *testing.T) {
	t.Parallel()
	l := newLibrary(t, defaultDocument(t))
	rapid.Check(t, func(t *rapid.T) {
		s := newSites(t, l)
		var q question
		q.start, q.end, q.calendar = math.MinInt64, math.MaxInt64, gold.Day
		q.entities.Labels = map[string]string{"tariff": "night"}
		q.series.Metrics = []string{"active_energy"}
		want := make(map[string]float64)
		for id, amounts := range s.amounts {
			dates := s.dates(t, id)
			for i, amount := range amounts {
				if s.at(id, s.origin+int64(i)*quarter).Labels["tariff"] == "night" {
					want[id+" "+dates[i]] += amount
				}
			}
		}
		got := make(map[string]float64)
		for _, r := range s.respond(t, responder{question: q}) {
			last := int64(math.MinInt64)
			for _, a := range r.GetAggregates() {
				if a.GetStart().AsTime().UnixNano() < last {
					t.Fatalf("windows overlap or are out of order: %v", a)
				}
				last = a.GetEnd().AsTime().UnixNano()
				got[r.GetSeries().GetEntityId()+" "+a.GetDate()] += a.GetStatistics().GetEnergy()
			}
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if math.Abs(got[key]-want[key]) > 1e-9 {
				t.Errorf("%s has %g, want %g", key, got[key], want[key])
			}
		}
		for _, key := range slices.Sorted(maps.Keys(got)) {
			if _, ok := want[key]; !ok && got[key] != 0 {
				t.Errorf("%s has %g and should not be answered", key, got[key])
			}
		}
	})
}
