// Package reading is the vocabulary of the platform: a reading as a producer
// sends it, the stamp that the broker gives it, and the series it belongs to.
//
// The package holds values only. It does not judge them: that is the silver
// package's part.
package reading

import (
	"cmp"
	"fmt"
	"time"
)

// Quality tells how a value came about.
type Quality uint8

// The qualities, numbered as in the wire contract.
const (
	Unspecified Quality = iota // the producer said nothing
	Actual                     // measured
	Estimated                  // substituted by an estimate
	Corrected                  // replaces an earlier value
	Withdrawn                  // takes the reading back
)

var qualityNames = [...]string{"unspecified", "actual", "estimated", "corrected", "withdrawn"}

// String returns the quality's name as it stands in JSON.
func (q Quality) String() string {
	if int(q) < len(qualityNames) {
		return qualityNames[q]
	}
	return fmt.Sprintf("quality(%d)", uint8(q))
}

// Valid reports whether q is one of the declared qualities.
func (q Quality) Valid() bool { return int(q) < len(qualityNames) }

// ParseQuality returns the quality of that name. The empty name is Unspecified.
func ParseQuality(name string) (Quality, error) {
	if name == "" {
		return Unspecified, nil
	}
	for i, n := range qualityNames {
		if n == name {
			return Quality(i), nil
		}
	}
	return Unspecified, fmt.Errorf(
		"quality %q is not known; use actual, estimated, corrected or withdrawn", name)
}

// Rank orders qualities for the choice of a winner: corrected and withdrawn
// over actual and unspecified, those over estimated.
func (q Quality) Rank() int {
	switch q {
	case Corrected, Withdrawn:
		return 2
	case Estimated:
		return 0
	default:
		return 1
	}
}

// Stamp says where and when the broker took a reading in. No two readings
// share a stamp.
type Stamp struct {
	Received int64  // receive time of the source message, Unix ns
	Sequence uint64 // sequence of the source message in its stream
	Stream   uint32 // ingress stream number, 0 for READINGS
	Index    uint32 // position of the reading in the source message
}

// Compare orders stamps by receive time, stream, sequence and index.
func (s Stamp) Compare(t Stamp) int {
	return cmp.Or(
		cmp.Compare(s.Received, t.Received),
		cmp.Compare(s.Stream, t.Stream),
		cmp.Compare(s.Sequence, t.Sequence),
		cmp.Compare(s.Index, t.Index),
	)
}

// Reading is one value of one metric of one entity at one time. Nothing of it
// is guaranteed to make sense before silver has judged it.
type Reading struct {
	EntityID string
	Metric   string
	Unit     string // as the producer wrote it; empty means canonical
	Time     int64  // event time, Unix ns
	Value    float64
	Revision uint64
	Length   time.Duration // span that the value covers; 0 when not given
	Quality  Quality
	// Exchange says that the meter, a register, was exchanged at Time: Value is
	// the final index of the old one, ExchangeStart the index that the new one
	// starts from, in Unit. It is 0 for other readings.
	Exchange      bool
	ExchangeStart float64
}

// Series names one: an entity, a metric and its canonical unit.
type Series struct {
	EntityID string
	Metric   string
	Unit     string
}

// Compare orders series by entity, metric and unit.
func (s Series) Compare(t Series) int {
	return cmp.Or(
		cmp.Compare(s.EntityID, t.EntityID),
		cmp.Compare(s.Metric, t.Metric),
		cmp.Compare(s.Unit, t.Unit),
	)
}

// String returns "entity metric [unit]".
func (s Series) String() string {
	return fmt.Sprintf("%s %s [%s]", s.EntityID, s.Metric, s.Unit)
}

// Partition returns the partition in [0, n) of an entity: FNV-1a 32 of the id
// modulo n, as the partition() mapping of nats-server computes it.
func Partition(entityID string, n uint32) uint32 {
	const offset, prime = 2166136261, 16777619
	h := uint32(offset)
	for i := range len(entityID) {
		h ^= uint32(entityID[i])
		h *= prime
	}
	return h % n
}
