package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Difference is a thing that two catalogues say otherwise. A side is empty where it
// says nothing.
type Difference struct {
	Path          string // as in the document, such as "metrics.voltage.max"
	Before, After string
}

// Diff returns what two catalogues say otherwise, by path. It compares what they
// mean, not how they are written: order, comments and defaults that are spelt out make
// no difference.
func Diff(before, after *Catalog) (all []Difference) {
	b, a := before.sayings(), after.sayings()
	paths := maps.Clone(b)
	maps.Copy(paths, a)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if b[path] != a[path] {
			all = append(all, Difference{path, b[path], a[path]})
		}
	}
	return all
}

// sayings returns all that a catalogue says, by path.
func (c *Catalog) sayings() map[string]string {
	out := map[string]string{
		"future_skew": c.futureSkew.String(), "time_floor": c.timeFloor.UTC().Format(time.RFC3339),
	}
	say := func(path, text, nothing string) {
		if text != nothing {
			out[path] = text
		}
	}
	for symbol := range c.units {
		u, path := c.units[symbol], "units."+symbol
		say(path+".dimension", u.Dimension, "")
		say(path+".num", number(u.Num), "1")
		say(path+".den", number(u.Den), "1")
		say(path+".integral", u.Integral, "")
	}
	for name, m := range c.metrics {
		path := "metrics." + name
		for _, s := range []struct{ field, text, nothing string }{
			{"kind", m.Kind.String(), ""}, {"unit", m.Unit, ""}, {"description", m.Description, ""},
			{"integrate", m.Integrate.String(), "none"}, {"label", nameOf(labels, m.Label), "start"},
			{"length", m.Length.String(), "0s"}, {"cadence", m.Cadence.String(), "0s"}, {"window", m.Window.String(), ""},
			{"max_gap", m.MaxGap.String(), "0s"}, {"lateness", m.Lateness.String(), ""},
			{"min", limit(m.Min), ""}, {"max", limit(m.Max), ""}, {"max_rate", number(m.MaxRate), "0"},
			{"rollover", number(m.Rollover), "0"}, {"dip_tolerance", number(m.DipTol), "0"},
			{"reset", nameOf(resets, m.ResetToZero), "none"}, {"spike", number(m.Spike), "0"}, {"stuck", m.Stuck.String(), "0s"},
		} {
			say(path+"."+s.field, s.text, s.nothing)
		}
		for i := range m.Expectations {
			e := &m.Expectations[i]
			otherwise := "warn"
			if e.Quarantine {
				otherwise = "quarantine"
			}
			say(path+".expectations."+e.Name, fmt.Sprintf("%s, else %s", e.Expression, otherwise), "")
		}
	}
	return out
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

func limit(x *float64) string {
	if x == nil {
		return ""
	}
	return number(*x)
}
