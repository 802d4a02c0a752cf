package query

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// TestThePastIsAsItWasAnswered lets readings of all kinds arrive in any order,
// asks after each arrival, and then asks for each of these times what was known:
// the answers are equal, but for what counts the changes of rows.
func TestThePastIsAsItWasAnswered(t *testing.T) {
	t.Parallel()
	l := newLibrary(t, everyKind)
	rapid.Check(t, func(t *rapid.T) {
		l.exec(t, "TRUNCATE gold.base, gold.parts, gold.days, gold.changed_days, gold.series")
		origin := time.Date(2026, 3, 27, 0, 0, 0, 0, time.UTC).UnixNano()
		asked, _, _ := anyAsked(t, origin)
		asked.fill = energyv1.GapFill(rapid.IntRange(0, 4).Draw(t, "fill"))
		asked.by = rapid.SampledFrom([]energyv1.GroupBy{
			energyv1.GroupBy_GROUP_BY_SERIES, energyv1.GroupBy_GROUP_BY_ALL,
		}).Draw(t, "by")
		metrics := l.catalog.Metrics()
		arrival := rapid.Custom(func(t *rapid.T) gold.Group {
			m := rapid.SampledFrom(metrics).Draw(t, "metric")
			return gold.Group{
				Key: gold.Key{Series: reading.Series{
					EntityID: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "entity"), Metric: m.Name, Unit: m.Unit,
				}},
				Versions: anyVersions(origin, rapid.Uint64Range(0, 3).Draw(t, "revision")).Draw(t, "versions"),
			}
		})
		w := l.store.NewWriter(0, l.catalog, goldstore.WriterConfig{})
		var times []int64
		var answers [][]*energyv1.QueryAggregatesResponse
		for step, g := range rapid.SliceOfN(arrival, 1, 5).Draw(t, "arrivals") {
			now := origin + int64(rapid.IntRange(1, 30).Draw(t, "hours"))*int64(time.Hour)
			if step > 0 {
				now += times[step-1] - origin
			}
			collector := gold.NewCollector(l.catalog)
			for _, v := range g.Versions {
				v.Stamp.Received, v.Stamp.Sequence = now, uint64(step+1)
				if l.catalog.Metric(g.Series).Interval() {
					v.Length = rapid.SampledFrom([]time.Duration{0, 15 * time.Minute, 50 * time.Hour}).Draw(t, "length")
				}
				collector.Add(g.Series, v)
			}
			if _, err := w.Flush(t.Context(), goldstore.Flush{Groups: collector.Take()}); err != nil {
				t.Fatal(err)
			}
			times = append(times, now)
			answers = append(answers, l.respond(t, responder{question: asked, now: now}))
		}
		for i := range times {
			then := asked
			then.knownAt = &times[i]
			got := l.respond(t, responder{question: then})
			if diff := cmp.Diff(answers[i], got, protocmp.Transform(),
				protocmp.IgnoreFields(&energyv1.Aggregate{}, "revision", "last_change")); diff != "" {
				t.Fatalf("arrival %d of %d (-answered +known):\n%s", i+1, len(times), diff)
			}
			for _, r := range got {
				for _, a := range r.GetAggregates() {
					if a.GetRevision() != 0 || a.LastChange != nil {
						t.Fatalf("the past has a revision or a last change: %v", a)
					}
				}
			}
		}
	})
}
