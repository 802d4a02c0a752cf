package ask

import (
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Completeness is that of several windows together: the mean of what each says of
// itself, weighted by length. Received over expected is not: a burst in one would
// make up for the silence of another.
type Completeness struct{ complete, length float64 } // seconds

// Add takes in a window. One that does not know its completeness says nothing.
func (c *Completeness) Add(a *energyv1.Aggregate) {
	if a.Completeness == nil {
		return
	}
	length := a.GetEnd().AsTime().Sub(a.GetStart().AsTime()).Seconds()
	c.complete += float64(a.GetCompleteness() * length)
	c.length += length
}

// Share returns the completeness, from 0 to 1; ok is false when no window knows
// its own.
func (c *Completeness) Share() (share float64, ok bool) {
	if c.length == 0 {
		return 0, false
	}
	return c.complete / c.length, true
}
