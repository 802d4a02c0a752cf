package goldstore

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
)

// TestFullWindowsAreSpread has a window that is stored in parts, for it has 300
// readings of a second, and an earlier reading that reaches into it. It is cut,
// and overlaps, like any other.
func TestFullWindowsAreSpread(t *testing.T) {
	t.Parallel()
	c := defaultCatalog(t, 1)
	// Days that begin at 01:02:30 UTC, inside the row.
	windows, err := gold.CalendarWindows(gold.Day, time.FixedZone("cutting", -int((time.Hour+150*time.Second).Seconds())))
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []time.Duration{5 * time.Minute, 12 * time.Minute, 15 * time.Minute} {
		t.Run(fmt.Sprint("beside a reading of ", length), func(t *testing.T) {
			t.Parallel()
			earlier := version(50*time.Minute, 30, 1000)
			earlier.Length = length
			versions := []gold.Version{earlier}
			for i := range 300 {
				v := version(time.Hour+time.Duration(i)*time.Second, 1, uint64(i+1))
				v.Length = time.Second
				versions = append(versions, v)
			}
			s := open(t)
			flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: groups(c, interval, versions...)})
			if n := number(t, s, "SELECT count(*) FROM gold.parts"); n == 0 {
				t.Fatal("the window is not full")
			}
			for _, from := range []time.Duration{0, time.Hour + 150*time.Second} {
				want := 330.0
				if from > 0 {
					want = 150 + 30*max(0, float64(50*time.Minute+length-from))/float64(length)
				}
				if got := spreadEnergy(t, s, Ask{
					Metric: c.Metric(interval), History: c.History(), Windows: windows,
					From: sunday + int64(from), To: sunday + int64(24*time.Hour),
				}); math.Abs(got-want) > 1e-9 {
					t.Errorf("%g kWh from %s on, want %g", got, from, want)
				}
			}
		})
	}
}

// spreadEnergy sums the energy of the pieces of the only series.
func spreadEnergy(t *testing.T, s *Store, ask Ask) (energy float64) {
	t.Helper()
	read(t, s, func(tx *ReadTx) {
		series, err := tx.Series(t.Context(), Selector{})
		if err != nil {
			t.Fatal(err)
		}
		bounds, err := tx.Bounds(t.Context(), series)
		if err != nil {
			t.Fatal(err)
		}
		ask.Series, ask.Bounds = series[0], bounds[series[0].ID]
		pieces, err := tx.Pieces(t.Context(), []Ask{ask})
		if err != nil {
			t.Fatal(err)
		}
		err = pieces[0].Each(func(p *gold.Stored) error {
			energy += p.Stats.Energy
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	})
	return energy
}
