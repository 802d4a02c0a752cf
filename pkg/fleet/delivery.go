package fleet

import (
	"fmt"
	"iter"
	"math"
	"strconv"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
)

// Cause says why a delivery is made.
type Cause uint8

// The causes.
const (
	Regular     Cause = iota // as it was taken
	Reordered                // behind readings taken later
	Late                     // hours to days late
	Estimate                 // in place of a reading that is to come
	Replacement              // the reading that was estimated
	Substitute               // an estimate for good
	Correction               // another value for a reading, of a higher revision
	Withdrawal               // takes a reading back
	Duplicate                // what was sent, again
	Malformed                // rubbish
	causeCount
)

var causeNames = [causeCount]string{
	"regular", "reordered", "late", "estimate", "replacement", "substitute",
	"correction", "withdrawal", "duplicate", "malformed",
}

// String returns the cause's name.
func (c Cause) String() string {
	if c < causeCount {
		return causeNames[c]
	}
	return fmt.Sprintf("cause(%d)", uint8(c))
}

// Delivery is what arrives at one time: a reading or rubbish.
type Delivery struct {
	Arrival int64 // simulated, Unix ns; never before the reading's time
	Series  int   // index in Fleet.Series
	Cause   Cause
	// Reading is what to send. It makes no sense to silver if Defect is set, and
	// is empty if the defect is Undecodable: then there is only the Payload.
	Reading reading.Reading
	Defect  *Defect // of Malformed
	Payload []byte
}

// Deliveries yields all deliveries in the order of their arrival. Rubbish is
// among them. Payloads may be kept.
func (f *Fleet) Deliveries() iter.Seq[Delivery] {
	return func(yield func(Delivery) bool) {
		for q := newQueue(f); q.more(); {
			slice := q.next()
			for i := range slice {
				if !yield(f.delivery(&slice[i])) {
					return
				}
			}
		}
	}
}

// delivery makes a delivery of a send.
func (f *Fleet) delivery(s *send) Delivery {
	series := f.series[s.series]
	d := Delivery{
		Arrival: s.arrival * int64(time.Millisecond), Series: int(s.series), Cause: s.cause,
		Reading: reading.Reading{
			EntityID: series.Entity.ID, Metric: series.Metric, Unit: series.SentUnit,
			Time: s.time * int64(time.Millisecond), Value: float64(s.value) / series.scale,
			Revision: uint64(s.revision), Length: series.Length, Quality: s.quality,
		},
	}
	if s.cause == Malformed {
		return series.defect(s.defect).spoil(d)
	}
	return d
}

// AppendJSON appends a delivery as producers send it in JSON: its payload if it
// has one, otherwise the reading as an object. Fields that say nothing are left
// out; the value is the shortest decimal that reads back as the same number.
func (d *Delivery) AppendJSON(b []byte) []byte {
	if d.Undecodable() {
		return append(b, d.Payload...)
	}
	return appendJSON(b, &d.Reading)
}

// Undecodable reports whether the delivery cannot be read as a reading.
func (d *Delivery) Undecodable() bool { return d.Defect != nil && d.Defect.Rule == reading.Undecodable }

// Alone reports whether the delivery needs a message of its own, since among
// other JSON values it would spoil its neighbours.
func (d *Delivery) Alone() bool { return d.Undecodable() && !d.Defect.Object }

// appendJSON appends a reading as an object. Names of this package need no
// escapes.
func appendJSON(b []byte, r *reading.Reading) []byte {
	b = append(b, '{')
	if r.EntityID != "" {
		b = append(append(append(b, `"entity_id":"`...), r.EntityID...), `",`...)
	}
	if r.Metric != "" {
		b = append(append(append(b, `"metric":"`...), r.Metric...), `",`...)
	}
	b = append(b, `"time":"`...)
	b = time.Unix(0, r.Time).UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","value":`...)
	if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
		b = append(strconv.AppendFloat(append(b, '"'), r.Value, 'g', -1, 64), '"')
	} else {
		b = strconv.AppendFloat(b, r.Value, 'f', -1, 64)
	}
	b = append(append(append(b, `,"unit":"`...), r.Unit...), '"')
	if r.Quality != reading.Unspecified {
		b = append(append(append(b, `,"quality":"`...), r.Quality.String()...), '"')
	}
	if r.Revision != 0 {
		b = strconv.AppendUint(append(b, `,"revision":`...), r.Revision, 10)
	}
	if r.Length != 0 {
		b = strconv.AppendInt(append(b, `,"length":`...), int64(r.Length/time.Second), 10)
	}
	return append(b, '}')
}
