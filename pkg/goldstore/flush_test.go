package goldstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

func TestFlush(t *testing.T) {
	t.Parallel()
	c := defaultCatalog(t, 1)

	t.Run("ReportsWhatChanged", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		w := s.NewWriter(0, c, WriterConfig{})
		first := flush(t, w, Flush{Cause: gold.CauseStream, Groups: groups(c, register,
			version(0, 10, 1), version(time.Minute, 11, 1), version(time.Hour, 20, 1))})
		if first.Inserted != 2 || first.Duplicates != 0 || len(first.Changes) != 2 || first.Outbox != nil {
			t.Fatalf("%+v", first)
		}
		second := flush(t, w, Flush{Cause: gold.CauseBatch, Groups: groups(c, register,
			version(time.Minute, 11, 9), version(2*time.Minute, 12, 9), version(time.Hour, 20, 9))})
		if second.Updated != 1 || second.Unchanged != 1 || second.Duplicates != 2 || second.Loaded != 0 {
			t.Errorf("%+v", second)
		}
		change := second.Changes[0]
		if change.Before.Count != 2 || change.After.Count != 3 || change.After.Advance != 2 || change.Revision != 2 ||
			change.Cause != gold.CauseBatch || !change.EdgeMoved() || change.Series != register {
			t.Errorf("%+v", change)
		}
	})
	t.Run("AnEarlierStampOfADuplicateIsAChangeOfTheRowAlone", func(t *testing.T) {
		t.Parallel()
		w := open(t).NewWriter(0, c, WriterConfig{})
		flush(t, w, Flush{Groups: groups(c, register, version(0, 10, 2))})
		got := flush(t, w, Flush{Groups: groups(c, register, version(0, 10, 1))})
		if got.Updated != 1 || got.Duplicates != 1 || got.Changes[0].EdgeMoved() {
			t.Errorf("%+v", got)
		}
	})
	t.Run("LoadsOnlyRowsThatItDoesNotKnow", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: groups(c, register, version(0, 10, 1))})
		other := s.NewWriter(0, c, WriterConfig{})
		f := Flush{Groups: groups(c, register, version(0, 10, 1), version(time.Hour, 11, 1))}
		if got := flush(t, other, f); got.Loaded != 1 || got.Inserted != 1 || got.Unchanged != 1 {
			t.Errorf("%+v", got)
		}
		if got := flush(t, other, f); got.Loaded != 0 || got.Unchanged != 2 {
			t.Errorf("again: %+v", got)
		}
		if other.CacheBytes() == 0 {
			t.Error("nothing is kept")
		}
		other.DropCache()
		if got := flush(t, other, f); got.Loaded != 2 || got.Unchanged != 2 {
			t.Errorf("without cache: %+v", got)
		}
	})
	t.Run("DropsItsMemoryWhenTheGenerationRises", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		w := s.NewWriter(0, c, WriterConfig{})
		f := Flush{Groups: groups(c, register, version(0, 10, 1))}
		flush(t, w, f)
		want := content(t, s)
		samples, stamps := gold.Encode(sunday, nil)
		exec(t, s, "UPDATE gold.base SET samples = $1, stamps = $2, count = 0, revision = revision + 1", samples, stamps)
		exec(t, s, "INSERT INTO gold.generations VALUES (0, 1)")
		if got := flush(t, w, f); got.Updated != 1 {
			t.Errorf("%+v", got)
		}
		if diff := cmp.Diff(want, content(t, s)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("RefusesGroupsOutOfOrder", func(t *testing.T) {
		t.Parallel()
		w := open(t).NewWriter(0, c, WriterConfig{})
		g := groups(c, register, version(0, 1, 1))
		if _, err := w.Flush(t.Context(), Flush{Groups: append(g, g...)}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("RetriesWhatTheServerRolledBack", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		// A sequence does not roll back.
		exec(t, s, "CREATE SEQUENCE gold.attempts")
		exec(t, s, `CREATE FUNCTION gold.collide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('gold.attempts') < 3 THEN RAISE EXCEPTION 'once more' USING ERRCODE = '40P01'; END IF;
			RETURN NEW; END $$`)
		exec(t, s, "CREATE TRIGGER collide BEFORE INSERT ON gold.series FOR EACH ROW EXECUTE FUNCTION gold.collide()")
		got := flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: groups(c, register, version(0, 1, 1))})
		if got.Retries != 2 || got.Inserted != 1 {
			t.Errorf("%+v", got)
		}
	})
}

func TestCatalogEpoch(t *testing.T) {
	t.Parallel()
	s, early, late := open(t), defaultCatalog(t, 1), defaultCatalog(t, 2)
	w := s.NewWriter(0, early, WriterConfig{})
	stale := s.NewWriter(0, early, WriterConfig{CacheBytes: -1})
	first := Flush{Groups: groups(early, register, version(0, 1, 1))}
	flush(t, w, first)

	// A group without versions computes the row anew, and makes none.
	w.SetCatalog(late)
	anew := groups(late, register, version(0, 1, 1), version(time.Hour, 1, 1))
	for i := range anew {
		anew[i].Versions = nil
	}
	got := flush(t, w, Flush{Groups: anew, Cause: gold.CauseCatalog})
	if got.Updated != 1 || got.Unchanged != 1 || len(got.Changes) != 1 || got.Duplicates != 0 {
		t.Errorf("%+v", got)
	}
	if n := number(t, s, "SELECT epoch FROM gold.content"); n != 2 {
		t.Errorf("epoch %d", n)
	}
	if got := flush(t, w, Flush{Groups: anew}); got.Unchanged != 2 {
		t.Errorf("again: %+v", got)
	}

	// A row never returns to an earlier epoch.
	if got := flush(t, stale, first); got.Unchanged != 1 {
		t.Errorf("a duplicate under the earlier epoch: %+v", got)
	}
	_, err := stale.Flush(t.Context(), Flush{Groups: groups(early, register, version(time.Minute, 2, 2))})
	if !errors.Is(err, ErrCatalogBehind) || IsRetryable(err) {
		t.Errorf("a change under the earlier epoch: %v", err)
	}
}

func TestRegisterEpoch(t *testing.T) {
	t.Parallel()
	s, c := open(t), defaultCatalog(t, 1)
	for range 2 {
		if err := s.RegisterEpoch(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, s, "DELETE FROM gold.metrics") // as before there was such a table
	if err := s.RegisterEpoch(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	want := int64(len(c.Metrics()) + 1) // and what holds for undeclared ones
	if n := number(t, s, "SELECT count(*) FROM gold.metrics_in_force"); n != want {
		t.Errorf("%d metrics are in force, want %d", n, want)
	}
	exec(t, s, "UPDATE gold.epochs SET hash = 'other'")
	if err := s.RegisterEpoch(t.Context(), c); !errors.Is(err, ErrEpochConflict) {
		t.Errorf("got %v", err)
	}
}

func TestSeriesCollision(t *testing.T) {
	t.Parallel()
	c := defaultCatalog(t, 1)
	other := reading.Series{EntityID: "meter-2", Metric: register.Metric, Unit: register.Unit}
	for name, earlier := range map[string][]gold.Group{
		"in the database": groups(c, register, version(0, 1, 1)),
		"in the flush":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			s.hashID = func(reading.Series) int64 { return 42 }
			w := s.NewWriter(0, c, WriterConfig{})
			flush(t, w, Flush{Groups: earlier})
			want := content(t, s)
			g := groups(c, other, version(0, 2, 1))
			if earlier == nil {
				g = append(groups(c, register, version(0, 1, 1)), g...)
			}
			for _, writer := range []*Writer{w, s.NewWriter(0, c, WriterConfig{})} {
				_, err := writer.Flush(t.Context(), Flush{Groups: g})
				var collision *CollisionError
				if !errors.As(err, &collision) || collision.ID != 42 || collision.Wanted != other ||
					collision.Stored != register || IsRetryable(err) {
					t.Errorf("got %v", err)
				}
			}
			if diff := cmp.Diff(want, content(t, s)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSeriesIDIsFixed(t *testing.T) {
	t.Parallel()
	// Stored ids rest on it.
	if id := SeriesID(reading.Series{EntityID: "meter-1", Metric: "active_energy_import", Unit: "kWh"}); id != seriesID {
		t.Errorf("got %d", id)
	}
	a, b := reading.Series{EntityID: "ab", Metric: "c"}, reading.Series{EntityID: "a", Metric: "bc"}
	if SeriesID(a) == SeriesID(b) {
		t.Error("fields run into each other")
	}
}

// seriesID was computed by another program from the definition.
const seriesID = 8771475563364088227

// TestOutbox proves invariant 8.
func TestOutbox(t *testing.T) {
	t.Parallel()
	c := defaultCatalog(t, 1)
	feed := func(id int64, changes []gold.Change) (string, []byte, error) {
		return "gold.5", fmt.Append(nil, id, " ", len(changes)), nil
	}
	t.Run("HoldsTheMessageOfEachCommittedChange", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		w := s.NewWriter(5, c, WriterConfig{})
		var want []OutboxEntry
		for i := range 3 {
			v := version(time.Duration(i)*time.Hour, 1, 1)
			f := Flush{Groups: groups(c, register, v), Feed: feed, Headers: func(*Result) map[string]string {
				return map[string]string{"traceparent": fmt.Sprint(i)}
			}}
			want = append(want, flush(t, w, f).Outbox...)
			if got := flush(t, w, f); got.Outbox != nil {
				t.Errorf("message without a change: %+v", got.Outbox)
			}
		}
		got, err := s.PendingOutbox(t.Context(), 5)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i].CreatedAt.IsZero() || string(got[i].Payload) != fmt.Sprint(got[i].ID, " ", 1) {
				t.Errorf("%+v", got[i])
			}
			got[i].CreatedAt = time.Time{}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if other, err := s.PendingOutbox(t.Context(), 4); err != nil || len(other) != 0 {
			t.Errorf("another partition: %v, %v", other, err)
		}
		for range 2 {
			if err := s.DeleteOutbox(t.Context(), []int64{want[0].ID, want[2].ID}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.PendingOutbox(t.Context(), 5); err != nil || len(got) != 1 || got[0].ID != want[1].ID {
			t.Errorf("left: %v, %v", got, err)
		}
	})
	t.Run("KeepsAllOutWhenTheMessageFails", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		bound(t, s)
		w := s.NewWriter(0, c, WriterConfig{})
		broken := errors.New("broken")
		f := Flush{Move: move(0, 1), Groups: groups(c, register, version(0, 1, 1))}
		f.Feed = func(int64, []gold.Change) (string, []byte, error) { return "", nil, broken }
		if _, err := w.Flush(t.Context(), f); !errors.Is(err, broken) {
			t.Fatalf("got %v", err)
		}
		if rows := content(t, s); len(rows) != 0 {
			t.Errorf("%d rows", len(rows))
		}
		f.Feed = feed
		if got := flush(t, w, f); got.Inserted != 1 || got.Outbox == nil {
			t.Errorf("%+v", got)
		}
	})
	t.Run("IsReadInBoundedPieces", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		exec(t, s, `INSERT INTO gold.outbox (partition, subject, payload)
			SELECT 5, 'gold.5', convert_to(repeat('x', 6000000), 'UTF8') FROM generate_series(1, 4)`)
		if got, err := s.PendingOutbox(t.Context(), 5); err != nil || len(got) != 3 {
			t.Errorf("%d entries, %v", len(got), err)
		}
	})
}
