package e2e_test

import (
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/producer"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/publish"
)

// The days of the file that it covers from midnight to midnight.
const firstFullDay, endOfFullDays = "2006-12-17", "2007-01-19"

// awkDays sums the file by its own local dates: rows with readings, kWh of
// active power and of the three sub-meters. It knows nothing of this platform.
const awkDays = `gzip -dc ` + householdFile + ` | awk -F';' '
NR > 1 && $3 != "?" {
	split($1, d, "/"); day = sprintf("%04d-%02d-%02d", d[3], d[2], d[1])
	n[day]++; p[day] += $3 / 60; a[day] += $7 / 1000; b[day] += $8 / 1000; c[day] += $9 / 1000
}
END { for (day in n) printf "%s %d %.17g %.17g %.17g %.17g\n", day, n[day], p[day], a[day], b[day], c[day] }'`

// awkDay is one day as awk saw it.
type awkDay struct {
	count  uint64
	energy map[string]float64 // kWh by series
}

func readAwk(t *testing.T) map[string]awkDay {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", awkDays).Output()
	if err != nil {
		t.Fatalf("awk: %v", err)
	}
	days := make(map[string]awkDay)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		numbers := make([]float64, len(f))
		for i := 1; i < len(f); i++ {
			if numbers[i], err = strconv.ParseFloat(f[i], 64); err != nil {
				t.Fatal(err)
			}
		}
		days[f[0]] = awkDay{count: uint64(numbers[1]), energy: map[string]float64{
			"sceaux active_power_mean": numbers[2], "sceaux.kitchen active_energy": numbers[3],
			"sceaux.laundry active_energy": numbers[4], "sceaux.heating active_energy": numbers[5],
		}}
	}
	return days
}

// TestDailySumsEqualTheFile does the main job: real readings in,
// daily energy out, compared with a computation straight from the file.
func TestDailySumsEqualTheFile(t *testing.T) {
	t.Parallel()
	dailySumsEqualTheFile(t, embedded(t))
}

func dailySumsEqualTheFile(t *testing.T, p *platform) {
	t.Helper()
	p.household(t, nil)
	p.await(t, "gold to catch up", caughtUp)

	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	answers := p.aggregates(t, &energyv1.QueryAggregatesRequest{
		Start: day(t, firstFullDay, paris), End: day(t, endOfFullDays, paris),
		Window: &energyv1.Window{
			Span: &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit_CALENDAR_UNIT_DAY}, Zone: "Europe/Paris",
		},
	})
	want := readAwk(t)
	for _, series := range []string{
		"sceaux active_power_mean", "sceaux.kitchen active_energy", "sceaux.laundry active_energy", "sceaux.heating active_energy",
	} {
		if len(answers[series]) != 33 {
			t.Fatalf("%s has %d days, want 33", series, len(answers[series]))
		}
		for _, a := range answers[series] {
			date := a.GetStart().AsTime().In(paris).Format(time.DateOnly)
			expected := want[date]
			if a.GetReceived() != expected.count || a.GetStatistics().GetCount() != expected.count {
				t.Errorf("%s on %s has %d readings, awk counts %d", series, date, a.GetReceived(), expected.count)
			}
			got, sum := a.GetStatistics().GetEnergy(), expected.energy[series]
			if math.Abs(got-sum) > 1e-9*math.Abs(sum) {
				t.Errorf("%s on %s has %.12g kWh, awk sums %.12g", series, date, got, sum)
			}
			share := float64(expected.count) / (24 * 60)
			if math.Abs(a.GetCompleteness()-share) > 1e-12 || a.GetExpected() != 24*60 {
				t.Errorf("%s on %s is %g complete of %d, want %g", series, date, a.GetCompleteness(), a.GetExpected(), share)
			}
		}
	}
	incomplete(t, p)
}

// incomplete checks that the rows with "?" show as windows below 100 %.
func incomplete(t *testing.T, p *platform) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c",
		`gzip -dc `+householdFile+` | awk -F';' '$3 == "?" { print $1, $2 }'`).Output()
	if err != nil {
		t.Fatal(err)
	}
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	missing := make(map[int64]uint64) // by start of the quarter hour
	for line := range strings.Lines(string(out)) {
		at, err := time.ParseInLocation("2/1/2006 15:04:05", strings.TrimSpace(line), paris)
		if err != nil {
			t.Fatal(err)
		}
		missing[at.Truncate(15*time.Minute).Unix()]++
	}
	if len(missing) == 0 {
		t.Fatal("the file has no ? rows")
	}
	answers := p.aggregates(t, &energyv1.QueryAggregatesRequest{
		Selector: &energyv1.Selector{EntityIds: []string{"sceaux"}, Metrics: []string{"voltage_mean"}},
		Start:    day(t, firstFullDay, paris), End: day(t, endOfFullDays, paris),
		Window: &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: quarterHour}},
	})
	if n := len(answers["sceaux voltage_mean"]); n != 33*96 {
		t.Fatalf("there are %d quarter hours, want 33 days of 96", n)
	}
	for _, a := range answers["sceaux voltage_mean"] {
		lost := missing[a.GetStart().AsTime().Unix()]
		if a.GetReceived() != 15-lost || (a.GetCompleteness() < 1) != (lost > 0) {
			t.Errorf("the quarter hour from %s has %d readings and is %g complete, %d are missing",
				a.GetStart().AsTime(), a.GetReceived(), a.GetCompleteness(), lost)
		}
	}
}

// TestSameReadingsSameValues publishes the same readings in order to one platform, and
// shuffled, doubled, in other sizes and both formats to another (invariant 3).
func TestSameReadingsSameValues(t *testing.T) {
	t.Parallel()
	sameReadingsSameValues(t, embedded(t), embedded(t))
}

func sameReadingsSameValues(t *testing.T, plain, mixed *platform) {
	t.Helper()
	plain.household(t, nil)
	seed := uint64(7)
	mixed.household(t, func(o *publish.Options) {
		o.Shuffle, o.Duplicate, o.BatchSize, o.Format = &seed, 0.1, 37, producer.Protobuf
	})
	mixed.household(t, func(o *publish.Options) {
		other := seed + 1
		o.Shuffle, o.BatchSize = &other, 1000
	})
	plain.await(t, "gold to catch up", caughtUp)
	status := mixed.await(t, "gold to catch up", caughtUp)
	if n := status.GetMissing(); n != 0 {
		t.Errorf("%d readings are missing", n)
	}
	sameRows(t, "values", plain.rows(t, "gold.values"), mixed.rows(t, "gold.values"))
}

// TestPublishingAgainChangesNothing publishes a file twice to one platform.
func TestPublishingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	publishingAgainChangesNothing(t, embedded(t))
}

func publishingAgainChangesNothing(t *testing.T, p *platform) {
	t.Helper()
	p.household(t, nil)
	p.await(t, "gold to catch up", caughtUp)
	before := p.rows(t, "gold.content")
	p.household(t, nil)
	p.await(t, "gold to catch up", caughtUp)
	sameRows(t, "content", before, p.rows(t, "gold.content"))
}
