package catalog

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Epochs is the catalogue's epochs so far, numbered from 1 on without a gap.
// The zero Epochs is empty. An Epochs is immutable: Append returns another.
type Epochs struct{ all []*Catalog }

// EpochsOf returns a catalogue, numbered 1, as the only epoch.
func EpochsOf(c *Catalog) Epochs { return Epochs{[]*Catalog{c}} }

// Append returns the epochs with one more: that document, in force from then
// on. The same documents at the same times always give the same epochs.
func (e Epochs) Append(activated time.Time, yamlDocument []byte) (Epochs, error) {
	c, err := Parse(uint64(len(e.all))+1, yamlDocument)
	if err != nil {
		return e, fmt.Errorf("catalogue epoch %d: %w", len(e.all)+1, err)
	}
	c.activated = activated.UTC().Truncate(time.Microsecond)
	if n := len(e.all); n > 0 {
		c.follow(e.all[n-1])
	}
	all := append(slices.Clip(e.all), c)
	activations := make(map[uint64]int64, len(all))
	for _, epoch := range all {
		activations[epoch.epoch] = epoch.activated.UnixNano()
	}
	c.history = NewHistory(activations)
	return Epochs{all}, nil
}

// Len returns the number of epochs, which is the number of the newest.
func (e Epochs) Len() uint64 { return uint64(len(e.all)) }

// Newest returns the newest epoch, nil when there is none.
func (e Epochs) Newest() *Catalog {
	if len(e.all) == 0 {
		return nil
	}
	return e.all[len(e.all)-1]
}

// InForce returns the epoch in force at a time: the first from the beginning, nil
// when there is none.
func (e Epochs) InForce(at time.Time) *Catalog {
	for i := len(e.all) - 1; i > 0; i-- {
		if !e.all[i].activated.After(at) {
			return e.all[i]
		}
	}
	if len(e.all) == 0 {
		return nil
	}
	return e.all[0]
}

// At returns the epoch of that number; ok is false when there is none.
func (e Epochs) At(number uint64) (c *Catalog, ok bool) {
	if number == 0 || number > e.Len() {
		return nil, false
	}
	return e.all[number-1], true
}

// Until returns the epochs up to that number.
func (e Epochs) Until(number uint64) Epochs { return Epochs{e.all[:min(number, e.Len())]} }

// Judging returns, in order, the epochs that judge readings of a metric in
// another way than the one before.
func (e Epochs) Judging(metric string) []*Catalog {
	var judging []*Catalog
	for _, c := range e.all {
		if c.metric(metric).Judged == c.epoch {
			judging = append(judging, c)
		}
	}
	return judging
}

// follow finds since when c's metrics are judged and folded as they are, given
// the epoch before.
func (c *Catalog) follow(before *Catalog) {
	c.undeclared = c.since(before, "", c.undeclared)
	for name, m := range c.metrics {
		c.metrics[name] = c.since(before, name, m)
	}
	for _, declared := range []map[string]*Metric{before.metrics, before.former} {
		for name := range declared {
			if _, ok := c.metrics[name]; !ok {
				c.former[name] = c.since(before, name, c.undeclared)
			}
		}
	}
}

// since returns m, what c says of a metric, with the epochs since which that
// holds.
func (c *Catalog) since(before *Catalog, name string, m *Metric) *Metric {
	out := *m
	out.Judged, out.Folded = c.epoch, c.epoch
	old := before.metric(name)
	if !c.judgesOtherwise(before, name) {
		out.Judged = old.Judged
	}
	if !foldsOtherwise(m, old) {
		out.Folded = old.Folded
	}
	return &out
}

// foldsOtherwise reports whether statistics of the same winners can differ:
// whether metrics differ in what gold's fold looks at.
func foldsOtherwise(m, n *Metric) bool {
	return m.Kind != n.Kind || m.Integrate != n.Integrate || m.MaxGap != n.MaxGap || m.MaxRate != n.MaxRate ||
		m.Rollover != n.Rollover || m.DipTol != n.DipTol || m.ResetToZero != n.ResetToZero ||
		m.Spike != n.Spike || m.Stuck != n.Stuck || (m.EnergyUnit == "") != (n.EnergyUnit == "")
}

// judgesOtherwise reports whether readings of a metric can be judged or
// normalized in another way than before: whether the catalogues differ in what
// silver's rules look at.
func (c *Catalog) judgesOtherwise(before *Catalog, name string) bool {
	m, n := c.metric(name), before.metric(name)
	if c.futureSkew != before.futureSkew || !c.timeFloor.Equal(before.timeFloor) ||
		(m.Kind == Register) != (n.Kind == Register) || m.Interval() != n.Interval() ||
		m.Label != n.Label || m.Length != n.Length ||
		!sameLimit(m.Min, n.Min) || !sameLimit(m.Max, n.Max) ||
		!slices.EqualFunc(m.Expectations, n.Expectations, func(e, f Expectation) bool { return e.equal(&f) }) {
		return true
	}
	for _, units := range []map[string]Unit{c.units, before.units, {"": {}}} {
		for symbol := range units {
			if c.takesOtherwise(before, name, symbol) {
				return true
			}
		}
	}
	return false
}

func sameLimit(a, b *float64) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

// takesOtherwise reports whether readings of a metric that come with a unit are
// taken in in another way than before.
func (c *Catalog) takesOtherwise(before *Catalog, name, symbol string) bool {
	r, fits := c.resolve(name, symbol)
	s, fitted := before.resolve(name, symbol)
	return fits != fitted || r.Unit != s.Unit || r.Conversion != s.Conversion || r.KnownUnit != s.KnownUnit
}

// Changes is what epochs changed, as names of metrics in order.
type Changes struct {
	Judged []string // readings are judged or normalized in another way
	Folded []string // statistics are computed in another way
	// Undeclared says that readings of metrics which no epoch declares are judged
	// in another way.
	Undeclared bool
}

// Any reports whether anything that is stored can be affected.
func (c Changes) Any() bool { return len(c.Judged) > 0 || len(c.Folded) > 0 || c.Undeclared }

// ChangedSince returns what c and the epochs between changed since an epoch. A
// change that a later epoch took back counts too: what came in meanwhile was
// judged under it.
func (c *Catalog) ChangedSince(epoch uint64) (changes Changes) {
	names := slices.Collect(maps.Keys(c.metrics))
	for _, name := range slices.Sorted(slices.Values(slices.AppendSeq(names, maps.Keys(c.former)))) {
		m := c.metric(name)
		undeclared := m.Unit == "" && m.Judged == c.undeclared.Judged // which Undeclared tells
		if m.Judged > epoch && !undeclared {
			changes.Judged = append(changes.Judged, name)
		}
		if m.Folded > epoch {
			changes.Folded = append(changes.Folded, name)
		}
	}
	changes.Undeclared = c.undeclared.Judged > epoch
	return changes
}

// Folded returns the epoch since which statistics of a metric are computed as
// they are now.
func (c *Catalog) Folded(metric string) uint64 { return c.metric(metric).Folded }

// Window returns the base window of a metric.
func (c *Catalog) Window(metric string) time.Duration { return c.metric(metric).Window }

// JudgedSince reports whether readings of a metric are judged in another way
// since after that epoch.
func (c *Catalog) JudgedSince(metric string, epoch uint64) bool {
	return c.metric(metric).Judged > epoch
}

// Rewindowed returns the metrics whose base window differs from before. Rows
// that are stored cannot follow.
func (c *Catalog) Rewindowed(before *Catalog) (names []string) {
	all := maps.Clone(c.metrics)
	maps.Copy(all, before.metrics)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if c.metric(name).Window != before.metric(name).Window {
			names = append(names, name)
		}
	}
	return names
}

// String returns number and hash.
func (c *Catalog) String() string { return fmt.Sprintf("epoch %d (%.12s)", c.epoch, c.hash) }
