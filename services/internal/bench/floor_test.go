package bench

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/localpg/pgtest"
	"github.com/energy-platform/energy/pkg/reading"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// The floor does what it is there for: its windows are those of the readings, also
// when it is stopped in the middle and started again.
func TestFloor(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"W1", "W2", "W5"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := workload(t, name)
			w.Readings, w.Meters = 20_000, 10
			nats := natstest.Server(t)
			url := pgtest.Database(t, "floor", nil)
			js, err := jetstream.New(natstest.Connect(t, nats))
			if err != nil {
				t.Fatal(err)
			}
			_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "READINGS", Subjects: []string{"readings.>"}})
			if err != nil {
				t.Fatal(err)
			}
			r := &run{workload: &w, natsURL: nats.URL()}
			if err := r.preload(t.Context()); err != nil {
				t.Fatal(err)
			}
			db, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close(context.WithoutCancel(t.Context()))
			floorUntil(t, nats.URL(), url, db, 1)
			floorUntil(t, nats.URL(), url, db, w.Readings)
			check(t, &w, db)
		})
	}
}

func workload(t *testing.T, name string) Workload {
	t.Helper()
	for i := range workloads {
		if workloads[i].Name == name {
			return workloads[i]
		}
	}
	t.Fatalf("there is no workload %s", name)
	return Workload{}
}

// floorUntil runs the floor until so many readings are stored.
func floorUntil(t *testing.T, natsURL, databaseURL string, db *pgx.Conn, readings int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		f := Floor{NATSURL: natsURL, DatabaseURL: databaseURL, Window: time.Minute}
		ended <- f.Run(ctx, strings.NewReader("go\n"), io.Discard)
	}()
	defer stop()
	for {
		var stored int
		err := db.QueryRow(t.Context(), "SELECT readings FROM floor_position").Scan(&stored)
		if err == nil && stored >= readings {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the floor ended: %v", err)
		case <-time.After(pollPause):
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// check recomputes all windows from the readings.
func check(t *testing.T, w *Workload, db *pgx.Conn) {
	t.Helper()
	type window struct {
		count               int64
		min, max, sum, last float64
	}
	type key struct {
		entity, metric string
		start          int64
	}
	want := make(map[key]window)
	for i := range w.Readings {
		r := w.reading(i)
		start := r.Time / int64(time.Second)
		k := key{r.EntityID, r.Metric, start - start%60}
		got, ok := want[k]
		if !ok {
			got = window{min: r.Value, max: r.Value}
		}
		want[k] = window{got.count + 1, min(got.min, r.Value), max(got.max, r.Value), got.sum + r.Value, r.Value}
	}
	rows, err := db.Query(t.Context(), "SELECT entity, metric, start, count, min, max, sum, last FROM floor_windows")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var k key
		var got window
		if err := rows.Scan(&k.entity, &k.metric, &k.start, &got.count, &got.min, &got.max, &got.sum, &got.last); err != nil {
			t.Fatal(err)
		}
		wanted := want[k]
		if difference := got.sum - wanted.sum; difference > 1e-9 || difference < -1e-9 {
			t.Errorf("%+v sums up to %g, want %g", k, got.sum, wanted.sum)
		}
		if got.sum = wanted.sum; got != wanted {
			t.Errorf("%+v is %+v, want %+v", k, got, wanted)
		}
		n++
	}
	if err := rows.Err(); err != nil || n != len(want) {
		t.Errorf("%d windows, want %d: %v", n, len(want), err)
	}
}

// What is sent again or corrected is a reading that was sent before.
func TestDisturbedReadingsWereSentBefore(t *testing.T) {
	t.Parallel()
	w := workload(t, "W5")
	w.Readings = 100_000
	type identity struct {
		entity, metric string
		time           int64
	}
	sent := make(map[identity]bool)
	again, corrected, late := 0, 0, 0
	for i := range w.Readings {
		r := w.reading(i)
		k := identity{r.EntityID, r.Metric, r.Time}
		switch {
		case r.Time < origin.UnixNano():
			late++
		case r.Quality == reading.Corrected && sent[k]:
			corrected++
		case sent[k]:
			again++
		case r.Quality == reading.Corrected:
			t.Fatalf("reading %d corrects what was not sent", i)
		}
		sent[k] = true
	}
	for name, n := range map[string]int{"again": again, "corrected": corrected, "late": late} {
		if share := float64(n) / float64(w.Readings); share < 0.05 || share > 0.08 {
			t.Errorf("%.3f of the readings are %s", share, name)
		}
	}
}
