package goldstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// standings returns the standings of all rows in order.
func standings(t *testing.T, s *Store) (all []gold.Standing) {
	t.Helper()
	read(t, s, func(tx *ReadTx) {
		err := tx.Rows(t.Context(), seriesIDs(t, tx), sunday, sunday+int64(24*time.Hour), func(r *StatsRow) error {
			all = append(all, r.Standing)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	return all
}

func TestStanding(t *testing.T) {
	t.Parallel()
	c := defaultCatalog(t, 1)

	// A row of before migration 14 has the versions and no standing.
	t.Run("IsComputedWhereAnEarlierBuildLeftNone", func(t *testing.T) {
		t.Parallel()
		for _, tt := range []struct {
			name     string
			versions []gold.Version
		}{
			{"by a repetition", []gold.Version{version(time.Minute, 1, 1)}},
			{"by a new reading", []gold.Version{version(3*time.Minute, 3, 3)}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				s := open(t)
				old := groups(c, register, version(time.Minute, 1, 1), version(2*time.Minute, 2, 2))
				flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: old})
				exec(t, s, "UPDATE gold.base SET first_received_ns = 0, settled_ns = 0, first_settled_ns = 0, last_settled_ns = 0")
				w := s.NewWriter(0, c, WriterConfig{})
				flush(t, w, Flush{Groups: groups(c, register, tt.versions...)})
				got := content(t, s)

				fresh := open(t)
				flush(t, fresh.NewWriter(0, c, WriterConfig{}),
					Flush{Groups: groups(c, register, append(tt.versions, old[0].Versions...)...)})
				if diff := cmp.Diff(content(t, fresh), got); diff != "" {
					t.Errorf("-fresh +upgraded:\n%s", diff)
				}
				if again := flush(t, w, Flush{Groups: groups(c, register, tt.versions...)}); again.Unchanged != 1 {
					t.Errorf("computed again: %+v", again)
				}
			})
		}
	})

	// A row may hold judgements of an epoch that its writer does not know yet, and
	// that changes no parameter: the row does not name it.
	t.Run("KnowsWhenEveryJudgementCameIntoForce", func(t *testing.T) {
		t.Parallel()
		document := func(limit int) []byte {
			return fmt.Appendf(nil, "units: {V: {dimension: voltage}}\nmetrics: {volt: {kind: gauge, unit: V, max: %d}}", limit)
		}
		first, err := catalog.Epochs{}.Append(timestamp(sunday), document(250))
		if err != nil {
			t.Fatal(err)
		}
		second, err := first.Append(timestamp(sunday+int64(48*time.Hour)), document(300))
		if err != nil {
			t.Fatal(err)
		}
		early, late := first.Newest(), second.Newest()
		volt := reading.Series{EntityID: "e", Metric: "volt", Unit: "V"}
		judgedLate := version(0, 260, 1)
		judgedLate.Epoch = late.Metric(volt).Judged
		both := []Flush{
			{Groups: groups(late, volt, judgedLate)},
			{Groups: groups(early, volt, version(time.Second, 230, 2))},
		}
		want := open(t)
		flush(t, want.NewWriter(0, early, WriterConfig{}), both[1])
		flush(t, want.NewWriter(0, late, WriterConfig{}), both[0])

		got := open(t)
		flush(t, got.NewWriter(0, late, WriterConfig{}), both[0])
		behind := got.NewWriter(0, early, WriterConfig{})
		if _, err := behind.Flush(t.Context(), both[1]); !errors.Is(err, ErrCatalogBehind) {
			t.Errorf("a writer that knows the first epoch only: %v", err)
		}
		behind.SetCatalog(late)
		flush(t, behind, both[1])
		if diff := cmp.Diff(content(t, want), content(t, got)); diff != "" {
			t.Errorf("-early first +late first:\n%s", diff)
		}
	})

	t.Run("OfANeighbourKnowsWhatWasTakenBackBeforeIt", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		gone := version(time.Hour, 2, 2)
		gone.Quality, gone.Stamp.Received = reading.Withdrawn, sunday+int64(100*time.Hour)
		w := s.NewWriter(0, c, WriterConfig{})
		flush(t, w, Flush{Groups: groups(c, register,
			version(0, 1, 1), version(time.Hour, 2, 2), gone, version(2*time.Hour, 3, 3))})
		read(t, s, func(tx *ReadTx) {
			series, err := tx.Series(t.Context(), Selector{})
			if err != nil {
				t.Fatal(err)
			}
			places := []Place{{&series[0], sunday + int64(time.Hour)}, {&series[0], sunday + int64(2*time.Hour)}}
			for _, tt := range []struct {
				name string
				find func(context.Context, []Place) ([]*Neighbour, error)
				want [2]int64 // with the row between, or without
			}{
				{"before", tx.LastBefore, [2]int64{0, gone.Stamp.Received}},
				{"behind", tx.FirstFrom, [2]int64{gone.Stamp.Received, 0}},
			} {
				found, err := tt.find(t.Context(), places)
				if err != nil {
					t.Fatal(err)
				}
				for i, n := range found {
					if n == nil || n.Emptied != tt.want[i] {
						t.Errorf("%s place %d: got %+v, want it emptied at %d", tt.name, i, n, tt.want[i])
					}
				}
			}
		})
		// The row that was emptied says when that was, and has no ends.
		want := gold.Standing{
			FirstReceived: version(time.Hour, 2, 2).Stamp.Received, Settled: gone.Stamp.Received,
			FirstSettled: gone.Stamp.Received, LastSettled: gone.Stamp.Received,
		}
		if diff := cmp.Diff(want, standings(t, s)[1]); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}
