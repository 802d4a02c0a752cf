package ask_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

func TestCompletenessIsWeightedByLength(t *testing.T) {
	t.Parallel()
	var c ask.Completeness
	if share, ok := c.Share(); ok {
		t.Errorf("nothing is %g complete", share)
	}
	at := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
	add := func(hours int, received, expected uint64, complete *float64) {
		end := at.Add(time.Duration(hours) * time.Hour)
		c.Add(&energyv1.Aggregate{
			Start: timestamppb.New(at), End: timestamppb.New(end),
			Received: received, Expected: expected, Completeness: complete,
		})
		at = end
	}
	add(5, 7, 0, nil)
	if share, ok := c.Share(); ok {
		t.Errorf("a window that does not know is %g complete", share)
	}
	whole, none, half := 1., 0., 0.5
	add(24, 1000, 96, &whole) // a burst
	add(24, 0, 96, &none)
	add(23, 46, 92, &half)
	if share, ok := c.Share(); !ok || share != (24+11.5)/71 {
		t.Errorf("the windows are %g complete, %t", share, ok)
	}
}
