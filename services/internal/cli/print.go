package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

// printer writes the messages of an answer.
type printer struct {
	answer func(*energyv1.QueryAggregatesResponse) error
	finish func() error
}

func newPrinter(format string, out io.Writer, zone *time.Location) (printer, error) {
	switch format {
	case "table":
		return tablePrinter(out, zone), nil
	case "csv":
		return csvPrinter(out, zone), nil
	case "json":
		return jsonPrinter(out), nil
	default:
		return printer{}, fmt.Errorf("--format %q is not known: give table, json or csv", format)
	}
}

// cell is a column of a window in tables and CSV.
type cell struct {
	header string
	value  value
}

// value prints one thing of a window.
type value func(*energyv1.QueryAggregatesResponse, *energyv1.Aggregate) string

func optional(x *float64) string {
	if x == nil {
		return ""
	}
	return number(*x)
}

// statistic prints a statistic of windows that have readings.
func statistic(get func(*energyv1.Statistics) float64) value {
	return func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
		if a.GetReceived() == 0 {
			return ""
		}
		return number(get(a.GetStatistics()))
	}
}

// energy prints the energy of a window, the advance for registers.
func energy(r *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
	if x, ok := ask.Energy(r.GetKind(), r.GetEnergyUnit(), a); ok {
		return number(x)
	}
	return ""
}

// percent prints a share, nothing when it is not known.
func percent(share *float64) string {
	if share == nil {
		return ""
	}
	return strconv.FormatFloat(100**share, 'f', 2, 64)
}

// flags prints the rules that flagged readings, with their number where it is
// known: "gap:2 stuck".
func flags(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
	names := make([]string, len(a.GetFlags()))
	for i, f := range a.GetFlags() {
		names[i] = f.GetRule()
		if f.Count != nil {
			names[i] += ":" + strconv.FormatUint(f.GetCount(), 10)
		}
	}
	return strings.Join(names, " ")
}

func windowCells(zone *time.Location) []cell {
	at := func(t time.Time) string { return t.In(zone).Format("2006-01-02T15:04:05Z07:00") }
	cells := []cell{
		{"entity", func(r *energyv1.QueryAggregatesResponse, _ *energyv1.Aggregate) string {
			return r.GetSeries().GetEntityId()
		}},
		{"metric", func(r *energyv1.QueryAggregatesResponse, _ *energyv1.Aggregate) string {
			return r.GetSeries().GetMetric()
		}},
		{"unit", func(r *energyv1.QueryAggregatesResponse, _ *energyv1.Aggregate) string {
			return r.GetSeries().GetUnit()
		}},
		{"start", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			return at(a.GetStart().AsTime())
		}},
		{"end", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			return at(a.GetEnd().AsTime())
		}},
		{"received", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			return strconv.FormatUint(a.GetReceived(), 10)
		}},
		{"expected", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			if a.GetExpected() == 0 {
				return ""
			}
			return strconv.FormatUint(a.GetExpected(), 10)
		}},
		{"complete_%", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			return percent(a.Completeness)
		}},
		{"finality", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string { return ask.Finality(a) }},
		{"mean", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string { return optional(a.Mean) }},
		{"min", statistic((*energyv1.Statistics).GetMin)},
		{"max", statistic((*energyv1.Statistics).GetMax)},
		{"energy", energy},
		{"energy_unit", func(r *energyv1.QueryAggregatesResponse, _ *energyv1.Aggregate) string { return r.GetEnergyUnit() }},
		{"peak", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string { return optional(a.Peak) }},
		{"peak_unit", func(r *energyv1.QueryAggregatesResponse, _ *energyv1.Aggregate) string { return r.GetPowerUnit() }},
		{"peak_at", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			if a.GetPeakAt() == nil {
				return ""
			}
			return at(a.GetPeakAt().AsTime())
		}},
	}
	return append(cells, qualityCells(at)...)
}

// qualityCells are the columns that say how much a window's numbers are worth.
func qualityCells(at func(time.Time) string) []cell {
	return []cell{
		{"closes_at", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			if a.GetClosesAt() == nil {
				return ""
			}
			return at(a.GetClosesAt().AsTime())
		}},
		{"interpolated", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			return optional(a.InterpolatedEnergy)
		}},
		{"edge_open", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			return strconv.FormatBool(a.GetEdgeOpen())
		}},
		{"mean_power", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			return optional(a.MeanPower)
		}},
		{"estimated_%", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			return percent(a.EstimatedShare)
		}},
		{"estimated_energy_%", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			return percent(a.EstimatedEnergyShare)
		}},
		{"corrected_%", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			return percent(a.CorrectedShare)
		}},
		{"corrected_energy_%", func(_ *energyv1.QueryAggregatesResponse, a *energyv1.Aggregate) string {
			return percent(a.CorrectedEnergyShare)
		}},
		{"flags", flags},
	}
}

// tableCells leaves out of a table what a reader rarely looks for.
func tableCells(zone *time.Location) []cell {
	var out []cell
	for _, c := range windowCells(zone) {
		switch c.header {
		case "end", "expected", "peak_at", "closes_at", "interpolated", "edge_open", "mean_power",
			"estimated_%", "estimated_energy_%", "corrected_%", "corrected_energy_%":
		default:
			out = append(out, c)
		}
	}
	return out
}

func tablePrinter(out io.Writer, zone *time.Location) printer {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	cells, windows := tableCells(zone), 0
	return printer{
		answer: func(r *energyv1.QueryAggregatesResponse) error {
			if windows == 0 {
				writeRow(w, cells, func(c cell) string { return c.header })
			}
			for _, a := range r.GetAggregates() {
				writeRow(w, cells, func(c cell) string { return c.value(r, a) })
				windows++
			}
			return nil
		},
		finish: func() error {
			if windows == 0 {
				fmt.Fprintln(w, "no readings match")
			}
			return w.Flush()
		},
	}
}

// writeRow writes a row to a tabwriter, which keeps errors until Flush.
func writeRow(w io.Writer, cells []cell, text func(cell) string) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, text(c))
	}
	fmt.Fprintln(w)
}

func csvPrinter(out io.Writer, zone *time.Location) printer {
	w := csv.NewWriter(out)
	cells := windowCells(zone)
	record := func(text func(cell) string) error {
		fields := make([]string, len(cells))
		for i, c := range cells {
			fields[i] = text(c)
		}
		return w.Write(fields)
	}
	begun := false
	return printer{
		answer: func(r *energyv1.QueryAggregatesResponse) error {
			if !begun {
				begun = true
				if err := record(func(c cell) string { return c.header }); err != nil {
					return err
				}
			}
			for _, a := range r.GetAggregates() {
				if err := record(func(c cell) string { return c.value(r, a) }); err != nil {
					return err
				}
			}
			return nil
		},
		finish: func() error { w.Flush(); return w.Error() },
	}
}

// jsonPrinter writes each window as one response message on a line, in the JSON
// form of the contract.
func jsonPrinter(out io.Writer) printer {
	options := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}
	return printer{
		answer: func(r *energyv1.QueryAggregatesResponse) error {
			for _, a := range r.GetAggregates() {
				line, err := options.Marshal(&energyv1.QueryAggregatesResponse{
					Series: r.GetSeries(), Kind: r.GetKind(), EnergyUnit: r.GetEnergyUnit(), PowerUnit: r.GetPowerUnit(),
					Aggregates: []*energyv1.Aggregate{a},
				})
				if err != nil {
					return err
				}
				// protojson varies white space on purpose.
				var compact bytes.Buffer
				if err := json.Compact(&compact, line); err != nil {
					return err
				}
				compact.WriteByte('\n')
				if _, err := compact.WriteTo(out); err != nil {
					return err
				}
			}
			return nil
		},
		finish: func() error { return nil },
	}
}
