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
