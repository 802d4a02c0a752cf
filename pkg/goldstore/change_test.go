package goldstore

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// TestChanges has what a flush reports of a row of two readings, of 1 kWh and 2
// kWh, that changes late.
func TestChanges(t *testing.T) {
	t.Parallel()
	c := defaultCatalog(t, 1)
	at := func(after time.Duration, value float64, q reading.Quality) gold.Version {
		v := version(after, value, 9)
		v.Quality, v.Stamp.Received = q, sunday+int64(1000*time.Hour)
		return v
	}
	// side is what a consumer looks at of one side of a change.
	type side struct {
		Readings, Corrected uint64
		Energy              float64
	}
	usual := &side{2, 0, 3}
	for _, tt := range []struct {
		name          string
		late          []gold.Version
		before, after *side
		edge          bool
	}{
		{"a late reading between others", []gold.Version{at(2*time.Minute, 4, reading.Actual)}, usual, &side{3, 0, 7}, false},
		{"a late reading before others", []gold.Version{at(0, 4, reading.Actual)}, usual, &side{3, 0, 7}, true},
		{"a late reading of another row", []gold.Version{at(time.Hour, 4, reading.Actual)}, nil, &side{1, 0, 4}, true},
		{"a correction", []gold.Version{at(time.Minute, 4, reading.Corrected)}, usual, &side{2, 1, 6}, true},
		{"a correction by a resent reading", []gold.Version{at(time.Minute, 4, reading.Actual)}, usual, &side{2, 0, 6}, true},
		{"a withdrawal", []gold.Version{at(time.Minute, 0, reading.Withdrawn)}, usual, &side{1, 0, 2}, true},
		{"a withdrawal of all", []gold.Version{
			at(time.Minute, 0, reading.Withdrawn), at(3*time.Minute, 0, reading.Withdrawn)}, usual, &side{}, true},
		{"an estimate that loses", []gold.Version{at(time.Minute, 9, reading.Estimated)}, usual, usual, false},
		{"a withdrawal of nothing", []gold.Version{at(2*time.Minute, 9, reading.Withdrawn)}, usual, usual, false},
		{"a repetition", []gold.Version{version(time.Minute, 1, 1)}, nil, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			flush(t, s.NewWriter(0, c, WriterConfig{}),
				Flush{Groups: groups(c, interval, version(time.Minute, 1, 1), version(3*time.Minute, 2, 2))})
			// A writer that knows nothing finds out what was before.
			got := flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{
				Groups: groups(c, interval, tt.late...), Cause: gold.CauseStream,
			})
			if tt.after == nil {
				if len(got.Changes) != 0 {
					t.Errorf("%+v changed", got.Changes)
				}
				return
			}
			if len(got.Changes) != 1 {
				t.Fatalf("%d changes", len(got.Changes))
			}
			change := got.Changes[0]
			of := func(p *gold.Partial) *side {
				if p == nil {
					return nil
				}
				return &side{p.Count, p.CorrectedCount, p.Energy}
			}
			if diff := cmp.Diff([]*side{tt.before, tt.after}, []*side{of(change.Before), of(&change.After)}); diff != "" {
				t.Errorf("before and after (-want +got):\n%s", diff)
			}
			if change.Cause != gold.CauseStream || change.EdgeMoved() != tt.edge {
				t.Errorf("cause %d, edge moved %t", change.Cause, change.EdgeMoved())
			}
		})
	}
}
