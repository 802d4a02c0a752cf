package ask

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func paris(t *testing.T) *time.Location {
	t.Helper()
	zone, err := Zone("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestZoneIsOfTheDatabaseNotOfTheMachine(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Local", "Mars/Olympus", "../etc/passwd", strings.Repeat("x", 1000)} {
		if _, err := Zone(name); err == nil || !strings.Contains(err.Error(), "is no IANA time zone") || len(err.Error()) > 200 {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*energyv1.Window{
		"15m": {Span: &energyv1.Window_Fixed{Fixed: durationpb.New(15 * time.Minute)}},
		"day": {Span: &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit_CALENDAR_UNIT_DAY}, Zone: "Europe/Paris"},
		"gas_day": {
			Span: &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit_CALENDAR_UNIT_GAS_DAY}, Zone: "Europe/Paris",
		},
	} {
		got, err := Window(text, paris(t))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for _, text := range []string{"", "0s", "-1h", "fortnight", "15"} {
		if _, err := Window(text, paris(t)); err == nil || !strings.Contains(err.Error(), "such as 15m or 1h, or day") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTimeIsInTheZoneUnlessItHasAnOffset(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2007-07-01":                "2007-06-30T22:00:00Z",
		"2007-01-31T06:00":          "2007-01-31T05:00:00Z",
		"2007-01-31 06:00:30":       "2007-01-31T05:00:30Z",
		"2007-01-31T06:00:00Z":      "2007-01-31T06:00:00Z",
		"2007-01-31T06:00:00-02:00": "2007-01-31T08:00:00Z",
	} {
		got, err := Time(text, paris(t))
		if err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	if _, err := Time("2007-02-30", paris(t)); err == nil || !strings.Contains(err.Error(), "is no time: give a date") {
		t.Error(err)
	}
}

func TestEnergyOfARegisterIsItsAdvance(t *testing.T) {
	t.Parallel()
	a := &energyv1.Aggregate{Statistics: &energyv1.Statistics{Advance: 2, Energy: 3}}
	if x, ok := Energy(energyv1.Kind_KIND_REGISTER, "kWh", a); x != 2 || !ok {
		t.Error("a register:", x, ok)
	}
	if x, ok := Energy(energyv1.Kind_KIND_GAUGE, "kWh", a); x != 3 || !ok {
		t.Error("a gauge:", x, ok)
	}
	if _, ok := Energy(energyv1.Kind_KIND_GAUGE, "", a); ok {
		t.Error("a metric without energies has one")
	}
	if _, ok := Energy(energyv1.Kind_KIND_REGISTER, "kWh", new(energyv1.Aggregate)); ok {
		t.Error("a window without readings has energy")
	}
}
