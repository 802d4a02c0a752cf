package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

// day is one local day of the series that have energy.
type day struct {
	start    time.Time
	energy   map[int]string // by series
	peak     map[int]string
	complete ask.Completeness // of all series
}

// printDays prints a row for each local day, with energy and peak power of each
// series that has them.
func printDays(
	ctx context.Context, out io.Writer, client energyv1.QueryServiceClient, zone string, entities []string,
) error {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return err
	}
	req := &energyv1.QueryAggregatesRequest{
		Selector: &energyv1.Selector{EntityIds: entities},
		Window: &energyv1.Window{
			Span: &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit_CALENDAR_UNIT_DAY}, Zone: zone,
		},
	}
	var series []*energyv1.QueryAggregatesResponse
	days := make(map[int64]*day)
	err = eachAnswer(ctx, client, req, func(r *energyv1.QueryAggregatesResponse) error {
		if r.GetEnergyUnit() == "" {
			return nil
		}
		if n := len(series); n == 0 || keyOf(series[n-1]) != keyOf(r) {
			series = append(series, r)
		}
		for _, a := range r.GetAggregates() {
			start := a.GetStart().AsTime()
			d, ok := days[start.Unix()]
			if !ok {
				d = &day{start: start.In(loc), energy: make(map[int]string), peak: make(map[int]string)}
				days[start.Unix()] = d
			}
			d.add(len(series)-1, r, a)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return daysTable(out, series, days)
}

// keyOf names a series in a form that can be compared.
func keyOf(r *energyv1.QueryAggregatesResponse) string {
	s := r.GetSeries()
	return strings.Join([]string{s.GetEntityId(), s.GetMetric(), s.GetUnit()}, "\x00")
}

func (d *day) add(series int, r *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) {
	d.complete.Add(a)
	amount, ok := ask.Energy(r.GetKind(), r.GetEnergyUnit(), a)
	if !ok {
		return
	}
	d.energy[series] = fmt.Sprintf("%.3f", amount)
	if a.Peak != nil {
		d.peak[series] = fmt.Sprintf("%.3f", a.GetPeak())
	}
}

func daysTable(out io.Writer, series []*energyv1.QueryAggregatesResponse, days map[int64]*day) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	lines := [3]strings.Builder{}
	lines[2].WriteString("day\t")
	lines[0].WriteString("\t")
	lines[1].WriteString("\t")
	for _, r := range series {
		fmt.Fprintf(&lines[0], "%s\t\t", r.GetSeries().GetEntityId())
		fmt.Fprintf(&lines[1], "%s\t\t", r.GetSeries().GetMetric())
		fmt.Fprintf(&lines[2], "%s\tpeak %s\t", r.GetEnergyUnit(), r.GetPowerUnit())
	}
	lines[2].WriteString("complete\t")
	for i := range lines {
		fmt.Fprintln(w, lines[i].String())
	}
	starts := make([]int64, 0, len(days))
	for start := range days {
		starts = append(starts, start)
	}
	slices.Sort(starts)
	for _, start := range starts {
		d := days[start]
		fmt.Fprintf(w, "%s\t", d.start.Format(time.DateOnly))
		for i := range series {
			fmt.Fprintf(w, "%s\t%s\t", d.energy[i], d.peak[i])
		}
		complete := ""
		if share, ok := d.complete.Share(); ok {
			complete = fmt.Sprintf("%.2f %%", 100*share)
		}
		fmt.Fprintf(w, "%s\t\n", complete)
	}
	return w.Flush()
}
