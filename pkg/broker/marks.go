package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const marksPrefix = "marks." // of the keys of marks

// ErrMarksMoved says that somebody else stored the marks of the epoch since they
// were read.
var ErrMarksMoved = errors.New("the marks of the catalogue epoch were stored by another")

// Marks is where the markers of an epoch stand in BRONZE. It is kept with the epoch,
// so that applying it again judges again what the first time would have.
type Marks struct {
	Created time.Time `json:"created"` // when the stream was made
	After   uint64    `json:"after"`   // no marker stands up to here
	// Since is the epoch that was applied when this one began to be: what a later one
	// than that changed is judged again.
	Since uint64 `json:"since,omitempty"`
	// From is when the broker stored the first message that BRONZE held when Sequences
	// were known; zero: it held all. What stood before it cannot be judged again.
	From time.Time `json:"from,omitzero"`
	// Sequences are those of the first markers, by partition; empty: not known yet.
	Sequences []uint64 `json:"sequences,omitempty"`
	// Behind is when the broker stored the last of them. What is received from then
	// on stands behind the markers.
	Behind time.Time `json:"behind,omitzero"`
	// Held says that From is known. From Sequences on nothing is removed that is to be
	// judged again.
	Held bool `json:"held,omitempty"`
	// Ends are up to where each partition is judged again: where what was received
	// before Behind ends. Empty: it is not all in BRONZE yet.
	Ends []uint64 `json:"ends,omitempty"`
}

// In reports whether m is about a stream as it is: it was not made anew, and has not
// lost a tail in which m lies.
func (m Marks) In(s StreamStatus) bool {
	greatest := slices.Max(slices.Concat([]uint64{m.After}, m.Sequences, m.Ends))
	return m.Created.Equal(s.Created) && greatest <= s.LastSequence
}

func marksKey(number uint64) string { return marksPrefix + strconv.FormatUint(number, 10) }

// Marks returns the marks of an epoch and their revision, both zero when there are
// none.
func (e *Epochs) Marks(ctx context.Context, number uint64) (m Marks, revision uint64, err error) {
	entry, err := e.kv.Get(ctx, marksKey(number))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return m, 0, nil
	}
	if err == nil {
		revision, err = entry.Revision(), json.Unmarshal(entry.Value(), &m)
	}
	if err != nil {
		return Marks{}, 0, fmt.Errorf("read the marks of catalogue epoch %d: %w", number, err)
	}
	return m, revision, nil
}

// SetMarks replaces the marks of that revision, 0 meaning that there are none. A
// lost race is [ErrMarksMoved].
func (e *Epochs) SetMarks(ctx context.Context, number uint64, m Marks, revision uint64) error {
	m.Created, m.From, m.Behind = m.Created.UTC(), m.From.UTC(), m.Behind.UTC()
	value, err := json.Marshal(m)
	if err == nil {
		if revision == 0 {
			_, err = e.kv.Create(ctx, marksKey(number), value)
		} else {
			_, err = e.kv.Update(ctx, marksKey(number), value, revision)
		}
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		err = ErrMarksMoved
	}
	if err != nil {
		return fmt.Errorf("store the marks of catalogue epoch %d: %w", number, err)
	}
	return nil
}
