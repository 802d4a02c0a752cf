package gold

// Cause is why rows changed, numbered as in the wire contract.
type Cause uint8

// The causes.
const (
	CauseUnknown Cause = iota
	CauseStream        // live readings
	CauseBatch         // a batch run
	CauseRelease       // a release from quarantine
	CauseCatalog       // a new catalogue epoch
)

// Change is one row before and after a flush.
type Change struct {
	Key
	Before   *Partial // nil when the row is new
	After    Partial
	Revision int64 // after the flush
	Cause    Cause
}

// EdgeMoved reports whether the first or last reading of the row moved, so that
// answers for neighbouring windows can change.
func (c *Change) EdgeMoved() bool {
	b, a := c.Before, &c.After
	if b == nil {
		return a.Count > 0
	}
	return b.FirstAt != a.FirstAt || b.First != a.First || b.FirstQuality != a.FirstQuality ||
		b.LastAt != a.LastAt || b.Last != a.Last || b.LastQuality != a.LastQuality
}

// Reach returns the latest end of a reading of the row, before or after, 0 when
// none covers a span. Answers for windows up to there can change.
func (c *Change) Reach() int64 {
	if c.Before == nil {
		return c.After.Reach
	}
	return max(c.Before.Reach, c.After.Reach)
}
