package publish

import (
	"fmt"
	"strings"
	"time"

	"github.com/energy-platform/energy/services/internal/source"
)

// maxBadRows bounds the bad rows that a receipt spells out.
const maxBadRows = 20

// Receipt tells what became of the readings. Published is the sum of
// Acknowledged, Refused and Unconfirmed.
type Receipt struct {
	Rows    int64 // rows of the files that were read
	Read    int64 // readings in them
	Absent  int64 // cells that say "no reading"
	Bad     int64 // rows, or cells, that were left out
	BadRows []*source.RowError

	// Doubtful counts what was published although it may not be meant so, and
	// Doubts says about the first of it where it stands and why.
	Doubtful int64
	Doubts   []string

	Published    int64 // readings handed over, those meant to be double twice
	Acknowledged int64 // stored: JetStream said so
	Refused      int64 // not stored
	Unconfirmed  int64 // stored or not: no answer came

	Messages int64 // that were published
	Bytes    int64 // of their payloads
	Resent   int64 // messages sent again for want of an answer; may be stored twice

	Stream        string // that acknowledged
	FirstSequence uint64 // least acknowledged sequence
	LastSequence  uint64 // greatest
	Duration      time.Duration

	TraceID string // of the trace that they are in; empty: of none that is sampled
}

// Rate returns acknowledged readings a second.
func (r Receipt) Rate() float64 {
	if r.Duration <= 0 {
		return 0
	}
	return float64(r.Acknowledged) / r.Duration.Seconds()
}

// String returns the receipt for people, in a few lines.
func (r Receipt) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "read          %d readings in %d rows; absent %d, bad rows %d\n", r.Read, r.Rows, r.Absent, r.Bad)
	fmt.Fprintf(&b, "published     %d readings in %d messages, %.1f MB", r.Published, r.Messages, float64(r.Bytes)/1e6)
	if r.Resent > 0 {
		fmt.Fprintf(&b, "; %d messages sent again", r.Resent)
	}
	fmt.Fprintf(&b, "\nacknowledged  %d readings", r.Acknowledged)
	if r.Acknowledged > 0 {
		fmt.Fprintf(&b, "; %s, sequences %d to %d", r.Stream, r.FirstSequence, r.LastSequence)
	}
	fmt.Fprintf(&b, "\nrefused       %d readings", r.Refused)
	if r.Unconfirmed > 0 {
		fmt.Fprintf(&b, "\nunconfirmed   %d readings: stored or not, no answer came; publishing again is safe", r.Unconfirmed)
	}
	if r.TraceID != "" {
		fmt.Fprintf(&b, "\ntrace         %s", r.TraceID)
	}
	fmt.Fprintf(&b, "\ntook          %.1f s, %.0f readings/s\n", r.Duration.Seconds(), r.Rate())
	if r.Acknowledged > 0 {
		b.WriteString("stored is not yet accepted: what the rules refuse, energy quarantine list shows\n")
	}
	return b.String()
}

// note counts an entry of the feed and reports whether it is a reading.
func (r *Receipt) note(e entry) bool {
	r.Rows, r.Absent = e.rows, e.absent
	if e.bad != nil {
		r.addBad(e.bad)
	}
	if e.is {
		r.Read++
	}
	for _, doubt := range e.doubts {
		r.Doubtful++
		if len(r.Doubts) < maxBadRows {
			r.Doubts = append(r.Doubts, doubt)
		}
	}
	return e.is
}

// addBad counts a bad row.
func (r *Receipt) addBad(row *source.RowError) {
	r.Bad++
	if len(r.BadRows) < maxBadRows {
		r.BadRows = append(r.BadRows, row)
	}
}

// badRows is nil when there are none.
func (r *Receipt) badRows() error {
	if r.Bad == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d", ErrBadRows, r.Bad)
}

// acknowledge notes where JetStream has stored a reading.
func (r *Receipt) acknowledge(stream string, sequence uint64) {
	if r.Stream == "" {
		r.Stream, r.FirstSequence = stream, sequence
	}
	r.FirstSequence = min(r.FirstSequence, sequence)
	r.LastSequence = max(r.LastSequence, sequence)
}
