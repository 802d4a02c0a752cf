package query

import (
	"testing"
	"time"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// TestFinalityFollowsTheClock asks for hours of which the third has no reading.
// Each closes an hour, the default lateness, after its end.
func TestFinalityFollowsTheClock(t *testing.T) {
	t.Parallel()
	s := register(t, 0, 30*time.Minute, 90*time.Minute, 200*time.Minute)
	for _, tt := range []struct {
		now    time.Duration
		closed int
	}{
		{0, 0},
		{2*time.Hour - 1, 0},
		{2 * time.Hour, 1},
		{4*time.Hour - 1, 2},
		{4 * time.Hour, 3},
		{100 * time.Hour, 4},
	} {
		s.now = func() time.Time { return origin.Add(tt.now) }
		answers := ask(t, s, fixed(time.Hour), 0, 4*time.Hour)
		if len(answers) != 4 {
			t.Fatalf("%d answers", len(answers))
		}
		for i, a := range answers {
			want := energyv1.Finality_FINALITY_PROVISIONAL
			if i < tt.closed {
				want = energyv1.Finality_FINALITY_FINAL
			}
			if a.GetFinality() != want {
				t.Errorf("at %s hour %d is %s", tt.now, i, a.GetFinality())
			}
			if closes := origin.Add(time.Duration(i+2) * time.Hour); !a.GetClosesAt().AsTime().Equal(closes) {
				t.Errorf("hour %d closes at %s, want %s", i, a.GetClosesAt().AsTime(), closes)
			}
		}
	}
}
