package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// restateWithin is how soon after the acknowledgement of a publish its effect is
// seen by who asks and by who watches.
const restateWithin = 2 * time.Second

// remember puts a day of readings of 1 kWh, one every five minutes, into gold as
// if they had come in time; the one at missing never came.
func (p *platform) remember(t *testing.T, day time.Time, missing time.Duration) {
	t.Helper()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	store, err := goldstore.Open(t.Context(), p.databaseURL, goldstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const length = 5 * time.Minute
	collector := gold.NewCollector(c)
	for after := time.Duration(0); after < 24*time.Hour; after += length {
		if after == missing {
			continue
		}
		at := day.Add(after)
		collector.Add(reading.Series{EntityID: "m1", Metric: "active_energy", Unit: "kWh"}, gold.Version{
			Time: at.UnixNano(), Value: 1, Length: length, Epoch: c.Epoch(), Quality: reading.Actual,
			Stamp: reading.Stamp{Received: at.Add(length + time.Second).UnixNano(), Sequence: uint64(at.Unix())},
		})
	}
	writer := store.NewWriter(reading.Partition("m1", 4), c, goldstore.WriterConfig{})
	if _, err := writer.Flush(t.Context(), goldstore.Flush{Groups: collector.Take()}); err != nil {
		t.Fatal(err)
	}
}

// follow sends what a watch delivers into the channel until ctx ends. It returns
// when the watch stands.
func (p *platform) follow(ctx context.Context, t *testing.T, w *energyv1.Window, seen chan<- *energyv1.Aggregate) {
	t.Helper()
	stream, err := p.query.WatchAggregates(ctx, &energyv1.WatchAggregatesRequest{Window: w})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			for _, a := range r.GetAggregates() {
				select {
				case seen <- a:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
}

// TestLateChangesRestate takes a day two months ago that is final. A late reading, a
// correction and a withdrawal restate the quarter of an hour, the hour and the day that
// they lie in, for who asks and for who watches, and nothing else (invariant 15). It runs
// beside no other test: it measures time.
func TestLateChangesRestate(t *testing.T) { //nolint:paralleltest // see above
	p := embedded(t)
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, -2, 0)
	missing := 10*time.Hour + 5*time.Minute
	p.remember(t, day, missing)
	windows := []*energyv1.Window{
		{Span: &energyv1.Window_Fixed{Fixed: quarterHour}},
		{Span: &energyv1.Window_Fixed{Fixed: durationpb.New(time.Hour)}},
		{Span: &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit_CALENDAR_UNIT_DAY}},
	}
	watched := make([]chan *energyv1.Aggregate, len(windows))
	for i, w := range windows {
		checkFinal(t, p.answers(t, w))
		watched[i] = make(chan *energyv1.Aggregate, 1000)
		p.follow(t.Context(), t, w, watched[i])
	}
	energy := [3]float64{2, 11, 287} // of the windows around what was missing
	for _, change := range []struct {
		name   string
		after  time.Duration
		fields string
		by     float64
	}{
		{"a late reading", missing, `"value":1`, 1},
		{"a correction", 12 * time.Hour, `"value":4,"quality":"corrected"`, 3},
		{"a withdrawal", 14 * time.Hour, `"value":0,"quality":"withdrawn"`, -1},
	} {
		if change.after != missing {
			energy[0], energy[1] = 3, 12
		}
		at := day.Add(change.after)
		send(t, p, "application/json", fmt.Sprintf(
			`{"entity_id":"m1","metric":"active_energy","time":%q,"length":"5m",%s}`, at.Format(time.RFC3339), change.fields))
		published := time.Now()
		for i, w := range windows {
			energy[i] += change.by
			changed := func(a *energyv1.Aggregate) bool {
				return !a.GetStart().AsTime().After(at) && a.GetEnd().AsTime().After(at) &&
					a.GetFinality() == energyv1.Finality_FINALITY_RESTATED && a.GetStatistics().GetEnergy() == energy[i]
			}
			name := fmt.Sprintf("%s, %s", change.name, w)
			p.awaitAsked(t, name, w, changed)
			t.Logf("%s: asked after %s", name, time.Since(published))
			awaitWatched(t, name, watched[i], changed)
			t.Logf("%s: watched after %s", name, time.Since(published))
		}
		if took := time.Since(published); took > restateWithin {
			t.Errorf("%s was seen everywhere after %s, want %s", change.name, took, restateWithin)
		}
	}
	for i, want := range []int{3, 3, 1} {
		restated := 0
		for _, a := range p.answers(t, windows[i]) {
			switch a.GetFinality() {
			case energyv1.Finality_FINALITY_RESTATED:
				restated++
			case energyv1.Finality_FINALITY_FINAL:
			default:
				t.Errorf("a window of two months ago is %s", a.GetFinality())
			}
		}
		if restated != want {
			t.Errorf("%d of %s are restated, want %d", restated, windows[i], want)
		}
	}
}

func (p *platform) answers(t *testing.T, w *energyv1.Window) []*energyv1.Aggregate {
	t.Helper()
	return p.aggregates(t, &energyv1.QueryAggregatesRequest{Window: w})["m1 active_energy"]
}

func checkFinal(t *testing.T, answers []*energyv1.Aggregate) {
	t.Helper()
	if len(answers) == 0 {
		t.Fatal("there are no answers")
	}
	for _, a := range answers {
		closes := a.GetEnd().AsTime().Add(time.Hour)
		if a.GetFinality() != energyv1.Finality_FINALITY_FINAL || !a.GetClosesAt().AsTime().Equal(closes) {
			t.Fatalf("the window until %s is %s and closed at %s",
				a.GetEnd().AsTime(), a.GetFinality(), a.GetClosesAt().AsTime())
		}
	}
}

// awaitAsked asks until an answer is as wanted.
func (p *platform) awaitAsked(t *testing.T, what string, w *energyv1.Window, wanted func(*energyv1.Aggregate) bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		if slices.ContainsFunc(p.answers(t, w), wanted) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s to be answered %s", patience, what)
		}
	}
}

func awaitWatched(t *testing.T, what string, seen <-chan *energyv1.Aggregate, wanted func(*energyv1.Aggregate) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case a := <-seen:
			if wanted(a) {
				return
			}
		case <-deadline:
			t.Fatalf("waited %s to be shown %s", patience, what)
		}
	}
}
