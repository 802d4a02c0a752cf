package query

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// TestFill fills hours of which 1, 4 and 6 are known: with means of 10, 40 and
// 20 and powers of the same.
func TestFill(t *testing.T) {
	t.Parallel()
	const null = -1
	known := map[int]float64{1: 10, 4: 40, 6: 20}
	for fill, want := range map[energyv1.GapFill][]float64{ // what is filled; null for nothing, 0 where it is not answered
		energyv1.GapFill_GAP_FILL_UNSPECIFIED: {null, 10, null, null, 40, null, 20, null},
		energyv1.GapFill_GAP_FILL_NULL:        {null, 10, null, null, 40, null, 20, null},
		energyv1.GapFill_GAP_FILL_NONE:        {0, 10, 0, 0, 40, 0, 20, 0},
		energyv1.GapFill_GAP_FILL_PREVIOUS:    {null, 10, 10, 10, 40, 40, 20, 20},
		energyv1.GapFill_GAP_FILL_LINEAR:      {null, 10, 20, 30, 40, 30, 20, null},
	} {
		t.Run(fill.String(), func(t *testing.T) {
			t.Parallel()
			var got []*energyv1.Aggregate
			flushed := false
			f := filler{
				fill:  fill,
				emit:  func(a *energyv1.Aggregate) error { got = append(got, a); return nil },
				flush: func() error { flushed = true; return nil },
			}
			window := func(hour int) *energyv1.Aggregate {
				a := &energyv1.Aggregate{
					Start: timestamppb.New(time.Unix(int64(hour)*3600, 0)), End: timestamppb.New(time.Unix(int64(hour+1)*3600, 0)),
				}
				if v, ok := known[hour]; ok {
					a.Mean, a.MeanPower, a.Statistics, a.Received = &v, &v, &energyv1.Statistics{Count: 1}, 1
				}
				return a
			}
			var expected []*energyv1.Aggregate
			for hour, v := range want {
				if err := f.add(window(hour)); err != nil {
					t.Fatal(err)
				}
				if v == 0 {
					continue
				}
				a := window(hour)
				if _, ok := known[hour]; !ok && v != null {
					a.Filled = &energyv1.Filled{Mean: &v, Energy: &v}
				}
				expected = append(expected, a)
			}
			if err := f.end(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(expected, got, protocmp.Transform()); diff != "" || !flushed {
				t.Errorf("flushed %t; (-want +got):\n%s", flushed, diff)
			}
		})
	}
}
