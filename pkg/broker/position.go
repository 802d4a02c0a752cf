package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrPositionMoved says that somebody else stored the position since it was
// loaded: this instance is not the only owner, and must load again.
var ErrPositionMoved = errors.New("position was moved by another owner")

// Counts add up what a position covers, for the conservation check:
// In = Out + Quarantined.
type Counts struct {
	In          uint64 `json:"in"`
	Out         uint64 `json:"out"`
	Quarantined uint64 `json:"quarantined"`
	// Again is how many of In the stage before had passed on already: readings
	// that came back from quarantine.
	Again uint64 `json:"again,omitempty"`
}

// Position is how far a stage has read a stream, and the ends of its own outputs
// that this rests on. A stage stores it only after the outputs of everything up
// to Sequence are confirmed. A stored position is not changed: RestOn makes other
// Outputs.
type Position struct {
	Stream   string    `json:"stream"`
	Created  time.Time `json:"created"`  // when the stream was made; zero: not started
	Sequence uint64    `json:"sequence"` // read up to here, inclusive; 0: from the beginning
	// Received is when the broker stored the message at Sequence. It tells that
	// message from another that took its sequence after the stream lost its tail.
	Received time.Time `json:"received,omitzero"`

	Outputs []Output `json:"outputs,omitempty"` // by stream, none for output that is elsewhere

	Counts Counts `json:"counts"`

	// Expires, if set, is when a reader counts as dead that has not stored it again;
	// see [Hold].
	Expires time.Time `json:"expires,omitzero"`
}

// Expired reports whether p's reader counts as dead.
func (p *Position) Expired(now time.Time) bool { return !p.Expires.IsZero() && now.After(p.Expires) }

// Output is the end of what a stage has stored in a stream.
type Output struct {
	Stream   string    `json:"stream"`
	Created  time.Time `json:"created"`            // when the stream was made
	Sequence uint64    `json:"sequence,omitempty"` // of the stage's last message; 0: there is none
	// Sum is a CRC-32C of the data of the message at Sequence; it does for the output
	// what Received does for the input.
	Sum uint32 `json:"sum,omitempty"`
}

// RestOn notes the messages that were confirmed on the stream: the one with the
// greatest sequence. acks are those of [Publisher.PublishAll] for msgs.
func (o *Output) RestOn(msgs []*nats.Msg, acks []Ack) {
	greatest := -1
	for i, ack := range acks {
		if ack.Stream == o.Stream && ack.Sequence > o.Sequence {
			o.Sequence, greatest = ack.Sequence, i
		}
	}
	if greatest >= 0 {
		o.Sum = sum(msgs[greatest].Data)
	}
}

// Onto returns p for a stage with output in these streams. In one that p does not
// name it rests on nothing.
func (p Position) Onto(streams ...string) Position {
	outputs := make([]Output, len(streams))
	for i, stream := range streams {
		outputs[i].Stream = stream
		for _, o := range p.Outputs {
			if o.Stream == stream {
				outputs[i] = o
			}
		}
	}
	p.Outputs = outputs
	return p
}

// Advance moves p to a message that has been dealt with.
func (p *Position) Advance(m Message) { p.Sequence, p.Received = m.Sequence, m.Received }

// RestOn notes the output that p rests on, by stream; see [Output.RestOn].
func (p *Position) RestOn(msgs []*nats.Msg, acks []Ack) {
	p.Outputs = slices.Clone(p.Outputs)
	for i := range p.Outputs {
		p.Outputs[i].RestOn(msgs, acks)
	}
}

func sum(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

// Positions keeps positions in the bucket [BucketPositions]. Keys are
// "<stage>" or "<stage>.<partition>"; those of holds are this package's own.
type Positions struct {
	js jetstream.JetStream
	kv jetstream.KeyValue
}

// OpenPositions opens the bucket; a missing one is [ErrNotProvisioned].
func OpenPositions(ctx context.Context, js jetstream.JetStream) (*Positions, error) {
	kv, err := bucket(ctx, js, BucketPositions)
	if err != nil {
		return nil, fmt.Errorf("open positions: %w", err)
	}
	return &Positions{js: js, kv: kv}, nil
}

// Load returns a position and its revision, both zero if there is none. With
// replicas the answer may be a little old; Store then says ErrPositionMoved.
func (p *Positions) Load(ctx context.Context, key string) (Position, uint64, error) {
	entry, err := p.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Position{}, 0, nil
	}
	if err != nil {
		return Position{}, 0, fmt.Errorf("load position %s: %w", key, err)
	}
	pos, err := decodePosition(entry.Value())
	if err != nil {
		return Position{}, 0, fmt.Errorf("load position %s: revision %d: %w", key, entry.Revision(), err)
	}
	return pos, entry.Revision(), nil
}

// Store replaces the position of that revision, 0 meaning that there is none,
// and returns the new revision. A lost race is [ErrPositionMoved]. After a
// timeout the same call may be made again: if it was stored, Store finds out.
func (p *Positions) Store(ctx context.Context, key string, pos Position, revision uint64) (uint64, error) {
	value, err := encodePosition(pos)
	if err != nil {
		return 0, fmt.Errorf("store position %s: %w", key, err)
	}
	next, err := p.swap(ctx, key, value, revision)
	if err == nil {
		return next, nil
	}
	if !errors.Is(err, ErrPositionMoved) {
		return 0, fmt.Errorf("store position %s: %w", key, err)
	}
	entry, getErr := p.kv.Get(ctx, key)
	if getErr == nil && entry.Revision() > revision && bytes.Equal(entry.Value(), value) {
		return entry.Revision(), nil
	}
	return 0, fmt.Errorf("store position %s over revision %d: %w", key, revision, err)
}

func (p *Positions) swap(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if revision == 0 {
		next, err := p.kv.Create(ctx, key, value)
		if errors.Is(err, jetstream.ErrKeyExists) {
			return 0, fmt.Errorf("%w: %w", ErrPositionMoved, err)
		}
		return next, err
	}
	next, err := p.kv.Update(ctx, key, value, revision)
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return 0, fmt.Errorf("%w: %w", ErrPositionMoved, err)
	}
	return next, err
}

// List returns all positions by key, for status.
func (p *Positions) List(ctx context.Context) (map[string]Position, error) {
	// nats.go keeps a goroutine until the context of Keys ends, and returns what
	// it has by then as if it were all.
	listCtx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	keys, err := p.kv.Keys(listCtx)
	if listCtx.Err() != nil {
		err = listCtx.Err()
	}
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		return nil, fmt.Errorf("list positions: %w", err)
	}
	all := make(map[string]Position, len(keys))
	for _, key := range keys {
		pos, revision, err := p.Load(ctx, key)
		if err != nil {
			return nil, err
		}
		if revision > 0 {
			all[key] = pos
		}
	}
	return all, nil
}

// encodePosition is canonical: fields in the order of the struct, times in UTC
// with as many digits as they need.
func encodePosition(pos Position) ([]byte, error) {
	pos.Created, pos.Received = pos.Created.UTC(), pos.Received.UTC()
	pos.Outputs = slices.Clone(pos.Outputs)
	for i := range pos.Outputs {
		pos.Outputs[i].Created = pos.Outputs[i].Created.UTC()
	}
	return json.Marshal(pos)
}

// decodePosition reads also what earlier builds stored, which rested on one stream.
func decodePosition(data []byte) (Position, error) {
	var stored struct {
		Position
		OutStream   string    `json:"out_stream"`
		OutCreated  time.Time `json:"out_created"`
		OutSequence uint64    `json:"out_sequence"`
		OutSum      uint32    `json:"out_sum"`
	}
	if err := json.Unmarshal(data, &stored); err != nil {
		return Position{}, err
	}
	if stored.OutStream != "" {
		one := Output{stored.OutStream, stored.OutCreated, stored.OutSequence, stored.OutSum}
		stored.Outputs = append(stored.Outputs, one)
	}
	return stored.Position, nil
}

func bucket(ctx context.Context, js jetstream.JetStream, name string) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, notProvisioned("bucket " + name)
	}
	return kv, err
}
