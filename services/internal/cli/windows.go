package cli

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

// window is one window of an answer.
type window struct {
	of *energyv1.QueryAggregatesResponse // its series or group
	*energyv1.Aggregate
}

// of is a column of what the window's series or group says.
func of(header string, text func(*energyv1.QueryAggregatesResponse) string) column[window] {
	return column[window]{header, func(w window) string { return text(w.of) }}
}

// number and the like are columns of what is in a window, empty where it is
// absent.
func optional(header string, get func(window) *float64) column[window] {
	return column[window]{header, func(w window) string {
		if x := get(w); x != nil {
			return number(*x)
		}
		return ""
	}}
}

func percent(header string, get func(window) *float64) column[window] {
	return column[window]{header, func(w window) string {
		if x := get(w); x != nil {
			return strconv.FormatFloat(100**x, 'f', 2, 64)
		}
		return ""
	}}
}

// count is a column of a number that is 0 where nothing is known.
func count[N uint32 | uint64](header string, get func(window) N) column[window] {
	return column[window]{header, func(w window) string {
		if n := get(w); n > 0 {
			return strconv.FormatUint(uint64(n), 10)
		}
		return ""
	}}
}

// statistic is a column of windows that have readings.
func statistic[N float64 | uint64](header string, get func(*energyv1.Statistics) N) column[window] {
	return column[window]{header, func(w window) string {
		if w.GetReceived() == 0 {
			return ""
		}
		return number(float64(get(w.GetStatistics())))
	}}
}

// energy is the energy of a window, the advance for registers.
func energy(w window) *float64 {
	if x, ok := ask.Energy(w.of.GetKind(), w.of.GetEnergyUnit(), w.Aggregate); ok {
		return &x
	}
	return nil
}

func filledMean(w window) *float64 {
	if f := w.GetFilled(); f != nil {
		return f.Mean
	}
	return nil
}

func filledEnergy(w window) *float64 {
	if f := w.GetFilled(); f != nil {
		return f.Energy
	}
	return nil
}

// orFilled is a column with the filled value, marked, where nothing is known.
func orFilled(header string, known, filled func(window) *float64) column[window] {
	return column[window]{header, func(w window) string {
		switch x, y := known(w), filled(w); {
		case x != nil:
			return number(*x)
		case y != nil:
			return "~" + number(*y)
		default:
			return ""
		}
	}}
}

// flags are the rules that flagged readings, with their number where it is
// known: "gap:2 stuck".
func flags(w window) string {
	names := make([]string, len(w.GetFlags()))
	for i, f := range w.GetFlags() {
		names[i] = f.GetRule()
		if f.Count != nil {
			names[i] += ":" + strconv.FormatUint(f.GetCount(), 10)
		}
	}
	return strings.Join(names, " ")
}

// notes are what a reader of a window has to know besides its numbers.
func notes(w window) string {
	var out []string
	for _, n := range []struct {
		name  string
		count uint64
	}{
		{"reset", w.GetStatistics().GetResets()}, {"exchange", w.GetStatistics().GetExchanges()},
	} {
		if n.count > 0 {
			out = append(out, n.name+":"+strconv.FormatUint(n.count, 10))
		}
	}
	if text := flags(w); text != "" {
		out = append(out, text)
	}
	if w.GetEdgeOpen() {
		out = append(out, "edge_open")
	}
	if w.GetFilled() != nil {
		out = append(out, "filled")
	}
	return strings.Join(out, " ")
}

func entityOf(r *energyv1.QueryAggregatesResponse) string { return r.GetSeries().GetEntityId() }
func groupOf(r *energyv1.QueryAggregatesResponse) string  { return r.GetGroup().GetKey() }

func metricOf(r *energyv1.QueryAggregatesResponse) string {
	return r.GetSeries().GetMetric() + r.GetGroup().GetMetric() // one of them is absent
}

func unitOf(r *energyv1.QueryAggregatesResponse) string {
	return r.GetSeries().GetUnit() + r.GetGroup().GetUnit() // one of them is absent
}

// windowColumns are the columns of tables and CSV by their headers.
func windowColumns(zone *time.Location) []column[window] {
	at := func(t time.Time) string { return t.In(zone).Format(time.RFC3339) }
	return []column[window]{
		of("entity", entityOf),
		of("group", groupOf),
		of("metric", metricOf),
		of("unit", unitOf),
		{"date", func(w window) string { return w.GetDate() }},
		{"start", func(w window) string { return at(w.GetStart().AsTime()) }},
		{"end", func(w window) string { return at(w.GetEnd().AsTime()) }},
		{"received", func(w window) string { return strconv.FormatUint(w.GetReceived(), 10) }},
		count("expected", func(w window) uint64 { return w.GetExpected() }),
		count("members", func(w window) uint32 { return w.GetMembers() }),
		{"contributing", func(w window) string {
			if w.GetMembers() == 0 {
				return ""
			}
			return strconv.FormatUint(uint64(w.GetContributing()), 10)
		}},
		percent("complete_%", func(w window) *float64 { return w.Completeness }),
		{"finality", func(w window) string { return ask.Finality(w.Aggregate) }},
		optional("mean", func(w window) *float64 { return w.Mean }),
		statistic("min", (*energyv1.Statistics).GetMin),
		statistic("max", (*energyv1.Statistics).GetMax),
		optional("energy", energy),
		of("energy_unit", (*energyv1.QueryAggregatesResponse).GetEnergyUnit),
		optional("peak", func(w window) *float64 { return w.Peak }),
		of("peak_unit", (*energyv1.QueryAggregatesResponse).GetPowerUnit),
		{"peak_at", func(w window) string {
			if w.GetPeakAt() == nil {
				return ""
			}
			return at(w.GetPeakAt().AsTime())
		}},
		{"closes_at", func(w window) string {
			if w.GetClosesAt() == nil {
				return ""
			}
			return at(w.GetClosesAt().AsTime())
		}},
		optional("filled_mean", filledMean),
		optional("filled_energy", filledEnergy),
		optional("interpolated", func(w window) *float64 { return w.InterpolatedEnergy }),
		{"edge_open", func(w window) string { return strconv.FormatBool(w.GetEdgeOpen()) }},
		optional("mean_power", func(w window) *float64 { return w.MeanPower }),
		percent("estimated_%", func(w window) *float64 { return w.EstimatedShare }),
		percent("estimated_energy_%", func(w window) *float64 { return w.EstimatedEnergyShare }),
		percent("corrected_%", func(w window) *float64 { return w.CorrectedShare }),
		percent("corrected_energy_%", func(w window) *float64 { return w.CorrectedEnergyShare }),
		statistic("gaps", (*energyv1.Statistics).GetGaps),
		statistic("resets", (*energyv1.Statistics).GetResets),
		statistic("exchanges", (*energyv1.Statistics).GetExchanges),
		{"flags", flags},
	}
}

// tableColumns leave out of a table what a reader rarely looks for, and what
// cannot be there for the way that was asked.
func tableColumns(all []column[window], grouped, ownZones bool) []column[window] {
	var out []column[window]
	for _, c := range all {
		switch c.header {
		case "end", "expected", "peak_at", "closes_at", "filled_mean", "filled_energy", "interpolated", "edge_open",
			"mean_power", "estimated_%", "estimated_energy_%", "corrected_%", "corrected_energy_%",
			"gaps", "resets", "exchanges":
			continue
		case "entity":
			if grouped {
				continue
			}
		case "group", "members", "contributing":
			if !grouped {
				continue
			}
		case "peak", "peak_unit": // groups have none
			if grouped {
				continue
			}
		case "date":
			if !ownZones {
				continue
			}
		case "mean":
			c = orFilled(c.header, func(w window) *float64 { return w.Mean }, filledMean)
		case "energy":
			c = orFilled(c.header, energy, filledEnergy)
		case "flags":
			c = column[window]{"notes", notes}
		}
		out = append(out, c)
	}
	return out
}

// forms returns how windows are written.
func (f *queryFlags) forms(zone *time.Location) *forms[window] {
	all := windowColumns(zone)
	return &forms[window]{
		table: tableColumns(all, f.grouped(), f.ownZones()), csv: all, none: "no readings match",
		message: func(w window) proto.Message {
			return &energyv1.QueryAggregatesResponse{
				Series: w.of.GetSeries(), Group: w.of.GetGroup(), Kind: w.of.GetKind(),
				EnergyUnit: w.of.GetEnergyUnit(), PowerUnit: w.of.GetPowerUnit(),
				Aggregates: []*energyv1.Aggregate{w.Aggregate},
			}
		},
	}
}

// each calls fn for each window of a message.
func each(r *energyv1.QueryAggregatesResponse, fn func(window) error) error {
	for _, a := range r.GetAggregates() {
		if err := fn(window{r, a}); err != nil {
			return err
		}
	}
	return nil
}
