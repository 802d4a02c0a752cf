package goldstore

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/gold"
)

func TestPieces(t *testing.T) {
	t.Parallel()
	s, c := open(t), defaultCatalog(t, 1)
	w := s.NewWriter(0, c, WriterConfig{})
	var versions []gold.Version
	for i := range 3 * 48 { // three days, a row half an hour
		versions = append(versions, version(time.Duration(i)*30*time.Minute, float64(i), uint64(i+1)))
	}
	flush(t, w, Flush{Groups: append(groups(c, interval, versions...), groups(c, register, versions...)...)})
	if err := rollAll(t.Context(), s.NewRoller(0, c, RollerConfig{})); err != nil {
		t.Fatal(err)
	}
	zone := func(name string) gold.Windows {
		location, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		days, err := gold.CalendarWindows(gold.Day, location)
		if err != nil {
			t.Fatal(err)
		}
		return days
	}
	fixed := func(width time.Duration) gold.Windows {
		windows, err := gold.FixedWindows(width)
		if err != nil {
			t.Fatal(err)
		}
		return windows
	}
	const day = 24 * time.Hour
	type pieces = map[time.Duration]int
	tests := []struct {
		name     string
		windows  gold.Windows
		from, to time.Duration
		want     pieces
	}{
		{"days of UTC are days", zone("UTC"), 0, 3 * day, pieces{day: 3}},
		{"two days are days", fixed(2 * day), -day, 3 * day, pieces{day: 3}},
		{"local days are hours", zone("Europe/Paris"), -2 * time.Hour, 3*day - 2*time.Hour, pieces{time.Hour: 70}},
		{"days cut inside hours are hours and rows", zone("Asia/Kolkata"), -330 * time.Minute, 3*day - 330*time.Minute,
			pieces{time.Hour: 2*23 + 18, 15 * time.Minute: 2*2 + 1}},
		{"hours are hours", fixed(time.Hour), 0, 3 * day, pieces{time.Hour: 72}},
		{"an hour and a half is an hour and rows", fixed(90 * time.Minute), 0, day, pieces{time.Hour: 16, 15 * time.Minute: 16}},
		{"half an hour is rows", fixed(30 * time.Minute), 0, day, pieces{15 * time.Minute: 48}},
	}
	check := func(name string, windows gold.Windows, from, to time.Duration, want pieces) {
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
			var asks []Ask
			for _, one := range series {
				asks = append(asks, Ask{
					Series: one, Bounds: bounds[one.ID], Metric: c.Metric(one.Series), History: c.History(), Windows: windows,
					From: sunday + int64(from), To: sunday + int64(to), Continues: true, Continued: true,
				})
			}
			all, err := tx.Pieces(t.Context(), asks)
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				got, last := pieces{}, int64(-1)
				count := func(p *gold.Stored) error {
					if p.Start < last {
						t.Errorf("%s: piece at %d comes after what ends at %d", name, p.Start, last)
					}
					last = p.End()
					got[p.Width]++
					return nil
				}
				err := all[i].Each(count, func(p *gold.Stored, _ []gold.Version) error { return count(p) })
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s of %s: %s", name, series[i].Series, diff)
				}
			}
		})
	}
	for _, tt := range tests {
		check(tt.name, tt.windows, tt.from, tt.to, tt.want)
	}
	exec(t, s, "UPDATE gold.days SET stale = true WHERE start = $1", timestamp(sunday+int64(day)))
	check("a stale day is rows", zone("UTC"), 0, 3*day, pieces{day: 2, 15 * time.Minute: 48})
}
