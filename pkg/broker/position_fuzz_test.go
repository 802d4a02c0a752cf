package broker

import (
	"bytes"
	"testing"
	"time"
)

// FuzzPosition reads what may stand in the bucket: what can be read and stored
// is stored in one form, which reads as the same position.
func FuzzPosition(f *testing.F) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 1, time.UTC)
	seed, err := encodePosition(Position{
		Stream: "READINGS", Created: at, Sequence: 7, Received: at,
		Outputs: []Output{{Stream: "BRONZE", Created: at, Sequence: 9, Sum: 1 << 31}}, Counts: Counts{In: 3, Out: 2, Quarantined: 1},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"stream":"S","created":"2026-03-01T10:00:00+02:00","sequence":18446744073709551615}`))
	f.Add([]byte(`{"stream":"S","out_stream":"T","out_created":"2026-03-01T10:00:00+02:00","out_sequence":1,"out_sum":2}`))
	f.Add([]byte(`{"created":"0000-01-01T00:00:00+23:59","counts":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		pos, err := decodePosition(data)
		if err != nil {
			return
		}
		stored, err := encodePosition(pos)
		if err != nil {
			return // a year that JSON cannot have
		}
		again, err := decodePosition(stored)
		if err != nil {
			t.Fatalf("%q was stored as %q: %v", data, stored, err)
		}
		if twice, err := encodePosition(again); err != nil || !bytes.Equal(stored, twice) {
			t.Errorf("%q was stored as %q, then as %q: %v", data, stored, twice, err)
		}
	})
}
