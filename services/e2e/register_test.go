package e2e_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/publish"
)

// awkRegister reads a meter that counts the file's active power: the local time
// at which a minute begins and the Wh counted up to its end. A minute without
// readings counts nothing.
const awkRegister = `gzip -dc ` + householdFile + ` | awk -F';' '
NR > 1 { if ($3 != "?") wh += $3 * 1000 / 60; printf "%s %s %.17g\n", $1, $2, wh }'`

// registerFile writes the meter's index as a minute register and as one that is
// read at quarter hours only, and returns the file.
func registerFile(t *testing.T, zone *time.Location) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", awkRegister).Output()
	if err != nil {
		t.Fatalf("awk: %v", err)
	}
	var lines strings.Builder
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		begins, err := time.ParseInLocation("2/1/2006 15:04:05", f[0]+" "+f[1], zone)
		if err != nil {
			t.Fatal(err)
		}
		index, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		at := begins.Add(time.Minute)
		meters := []string{"minutes"}
		if at.Unix()%(15*60) == 0 {
			meters = append(meters, "quarters")
		}
		for _, meter := range meters {
			fmt.Fprintf(&lines, `{"entity_id":%q,"metric":"active_energy_import","unit":"Wh","time":%q,"value":%v}`+"\n",
				"sceaux."+meter, at.UTC().Format(time.RFC3339), index)
		}
	}
	file := filepath.Join(t.TempDir(), "register.ndjson")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestARegisterHasTheEnergyOfItsPower derives a register from the household's
// power. Read every minute or at quarter hours only, it consumes what the power
// series has as energy, in each quarter of an hour and on each day.
func TestARegisterHasTheEnergyOfItsPower(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	p.household(t, nil)
	_, err = publish.Run(t.Context(), publish.Options{
		Files: []string{registerFile(t, paris)}, URL: p.natsURL,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.await(t, "gold to catch up", caughtUp)
	for name, tt := range map[string]struct {
		window *energyv1.Window
		count  int
	}{
		"quarter hours": {fixedWindow(15 * time.Minute), 33 * 96},
		"days":          {localDay("Europe/Paris"), 33},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers := p.aggregates(t, &energyv1.QueryAggregatesRequest{
				Selector: &energyv1.Selector{Metrics: []string{"active_power_mean", "active_energy_import"}},
				Start:    day(t, firstFullDay, paris), End: day(t, endOfFullDays, paris), Window: tt.window,
			})
			power := answers["sceaux active_power_mean"]
			for _, meter := range []string{"sceaux.minutes", "sceaux.quarters"} {
				register := answers[meter+" active_energy_import"]
				if len(register) != tt.count || len(power) != tt.count {
					t.Fatalf("%s has %d windows, the power has %d; want %d", meter, len(register), len(power), tt.count)
				}
				for i, r := range register {
					got, want := r.GetStatistics().GetAdvance(), power[i].GetStatistics().GetEnergy()
					if math.Abs(got-want) > 1e-6*want || !r.GetStart().AsTime().Equal(power[i].GetStart().AsTime()) {
						t.Errorf("%s consumes %.12g kWh from %s, the power has %.12g",
							meter, got, r.GetStart().AsTime(), want)
					}
				}
			}
		})
	}
}

func localDay(zone string) *energyv1.Window {
	return &energyv1.Window{
		Span: &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit_CALENDAR_UNIT_DAY}, Zone: zone,
	}
}

func fixedWindow(d time.Duration) *energyv1.Window {
	return &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: durationpb.New(d)}}
}
