package apply

import (
	"cmp"
	"maps"
	"slices"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
)

// Verdict is how an epoch judges readings otherwise than the one before.
type Verdict struct {
	Metric string
	Change Change
	Rule   reading.Rule // that refuses, or refused before; of Altered none
}

// Change is what becomes of a reading.
type Change uint8

// The changes.
const (
	Refuses Change = iota + 1 // it counted, and is refused
	Admits                    // it was refused, and counts
	Alters                    // it counts with another value, unit, time or length
)

var changeNames = [...]string{"", "refused", "admitted", "altered"}

// String returns the change's name.
func (c Change) String() string { return changeNames[c] }

// Window is a base window whose answer changes, with what pairs of readings add over
// its edges and what readings that cover spans reach into it.
type Window struct {
	gold.Key
	Before, After gold.Partial
}

// Totals adds up what answers say.
type Totals struct {
	Readings             uint64
	Sum, Energy, Advance float64
}

func (t *Totals) add(p *gold.Partial) {
	t.Readings += p.Count
	t.Sum += p.Sum
	t.Energy += p.Energy
	t.Advance += p.Advance
}

// Windows is the base windows of a metric whose answers change.
type Windows struct {
	Metric        string
	Changed       uint64 // all that do,
	Added         uint64 // those that had no reading before
	Emptied       uint64 // and those that have none any more
	Before, After Totals // of those that change
}

// Effect is what an epoch changes.
type Effect struct {
	verdicts map[Verdict]uint64
	windows  map[string]*Windows
	// Each, if not nil, is told every window that changes.
	each func(Window) error
}

func newEffect(each func(Window) error) *Effect {
	return &Effect{verdicts: make(map[Verdict]uint64), windows: make(map[string]*Windows), each: each}
}

// Verdicts returns the verdicts in order, each with its number of readings.
func (e *Effect) Verdicts() (verdicts []Verdict, readings []uint64) {
	verdicts = slices.SortedFunc(maps.Keys(e.verdicts), func(v, w Verdict) int {
		return cmp.Or(cmp.Compare(v.Metric, w.Metric), cmp.Compare(v.Change, w.Change), cmp.Compare(v.Rule, w.Rule))
	})
	for _, v := range verdicts {
		readings = append(readings, e.verdicts[v])
	}
	return verdicts, readings
}

// Windows returns what changes by metric.
func (e *Effect) Windows() (all []Windows) {
	for _, metric := range slices.Sorted(maps.Keys(e.windows)) {
		all = append(all, *e.windows[metric])
	}
	return all
}

// judged takes in how a reading is judged before and after.
func (e *Effect) judged(metric string, before, after *silver.Judgement) {
	v := Verdict{Metric: metric}
	switch {
	case before.Accepted() && !after.Accepted():
		v.Change = Refuses
		v.Rule, _ = after.Refused.First()
	case !before.Accepted() && after.Accepted():
		v.Change = Admits
		v.Rule, _ = before.Refused.First()
	case before.Accepted() && before.Reading != after.Reading:
		v.Change = Alters
	default:
		return
	}
	e.verdicts[v]++
}

// changed takes in a window whose answer changes.
func (e *Effect) changed(w Window) error {
	of := e.windows[w.Series.Metric]
	if of == nil {
		of = &Windows{Metric: w.Series.Metric}
		e.windows[w.Series.Metric] = of
	}
	of.Changed++
	switch {
	case w.Before.Count == 0 && w.After.Count > 0:
		of.Added++
	case w.Before.Count > 0 && w.After.Count == 0:
		of.Emptied++
	}
	of.Before.add(&w.Before)
	of.After.add(&w.After)
	if e.each == nil {
		return nil
	}
	return e.each(w)
}
