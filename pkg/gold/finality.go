package gold

import (
	"fmt"

	"github.com/energy-platform/energy/pkg/catalog"
)

// Finality is how far an answer can be relied on, numbered as in the wire
// contract.
type Finality uint8

// The finalities.
const (
	FinalityUnknown Finality = iota
	Provisional              // the window is open: readings are still expected
	Final                    // closed, and not changed since
	Restated                 // closed, and changed after that
)

var finalityNames = [...]string{"unknown", "provisional", "final", "restated"}

// String returns the finality's name.
func (f Finality) String() string {
	if int(f) < len(finalityNames) {
		return finalityNames[f]
	}
	return fmt.Sprintf("finality(%d)", uint8(f))
}

// ClosesAt returns when the window closes, in receive time (Unix ns): the
// metric's lateness after its end or, if that is later, after the first of its
// readings was received, so that history which is loaded late closes late: the
// first reading of a window opens it anew. Of a window without readings
// that lies between two it is the first of these.
func (c *Aggregate) ClosesAt(m *catalog.Metric) int64 { return c.Standing.closesAt(c.End, m) }

func (s *Standing) closesAt(end int64, m *catalog.Metric) int64 {
	return max(end, s.FirstReceived) + int64(m.Lateness)
}

// RestatedSince reports whether what took a base row from one standing to this one
// restated its window, which ends at end, in Unix ns.
func (s *Standing) RestatedSince(before *Standing, end int64, m *catalog.Metric) bool {
	return s.Settled > before.Settled && s.Settled > s.closesAt(end, m)
}

// Finality returns the finality of the answer as known at a time, in Unix ns
// (invariant 15).
//
// A window is restated when a change of its winners came into force after it
// closed, or one of an earlier reading that reaches into it. Of metrics that are
// Paired it is so too when one came into force that changes what a pair of
// readings across its edge adds.
//
// Not covered is a reading that was taken back and from which, or over which,
// nothing is added to the window any more: an earlier one that reached into it,
// the first or the last of the series, one between readings of a gauge that then
// are further apart than max_gap. The window that it lay in is restated.
func (c *Aggregate) Finality(m *catalog.Metric, knownAt int64) Finality {
	switch closes := c.ClosesAt(m); {
	case knownAt < closes:
		return Provisional
	case c.Standing.Settled > closes:
		return Restated
	default:
		return Final
	}
}
