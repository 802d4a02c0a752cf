package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func drawOf(t *testing.T, windows ...window) string {
	t.Helper()
	var out strings.Builder
	o := plotOutput(&out, time.UTC, false)
	for i, w := range windows {
		w.Start = timestamppb.New(time.Date(2026, 3, 1+i, 0, 0, 0, 0, time.UTC))
		if err := o.write(w); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPlotDrawsABarAWindow(t *testing.T) {
	t.Parallel()
	of := &energyv1.QueryAggregatesResponse{
		Series: &energyv1.SeriesKey{EntityId: "m1", Metric: "active_energy", Unit: "kWh"},
		Kind:   energyv1.Kind_KIND_INTERVAL, EnergyUnit: "kWh",
	}
	energyIs := func(x float64) window {
		return window{of, &energyv1.Aggregate{Received: 1, Statistics: &energyv1.Statistics{Energy: x}}}
	}
	made := 2.0
	got := drawOf(t, energyIs(4), energyIs(1.025), window{of, &energyv1.Aggregate{}},
		window{of, &energyv1.Aggregate{Filled: &energyv1.Filled{Energy: &made}}})
	want := "m1 active_energy, kWh\n" +
		"2026-03-01 00:00  " + strings.Repeat("█", 60) + "  4\n" +
		"2026-03-02 00:00  " + strings.Repeat("█", 15) + "▍" + strings.Repeat(" ", 44) + "  1.025\n" +
		"2026-03-03 00:00\n" +
		"2026-03-04 00:00  " + strings.Repeat("░", 30) + strings.Repeat(" ", 30) + "  ~2  filled\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = drawOf(t, energyIs(1), energyIs(-1))
	want = "m1 active_energy, kWh\n" +
		"2026-03-01 00:00  " + strings.Repeat(" ", 30) + strings.Repeat("█", 30) + "  1\n" +
		"2026-03-02 00:00  " + strings.Repeat("█", 30) + strings.Repeat(" ", 30) + "  -1\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := drawOf(t); got != "no readings match\n" {
		t.Errorf("%q", got)
	}
}

func TestPlotMarksALevelOnItsSpan(t *testing.T) {
	t.Parallel()
	of := &energyv1.QueryAggregatesResponse{
		Series: &energyv1.SeriesKey{EntityId: "m1", Metric: "voltage", Unit: "V"}, Kind: energyv1.Kind_KIND_GAUGE,
	}
	voltage := func(low, mean, high float64) window {
		return window{of, &energyv1.Aggregate{
			Received: 3, Mean: &mean, Statistics: &energyv1.Statistics{Min: low, Max: high},
		}}
	}
	got := drawOf(t, voltage(220, 230, 240), voltage(230, 230, 230))
	want := "m1 voltage, mean in V\n" +
		"2026-03-01 00:00  " + strings.Repeat("─", 30) + "●" + strings.Repeat("─", 29) + "  230\n" +
		"2026-03-02 00:00  " + strings.Repeat(" ", 30) + "●" + strings.Repeat(" ", 29) + "  230\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
