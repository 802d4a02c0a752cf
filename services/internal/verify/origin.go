package verify

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/replay"
)

// origin is what a version that the source does not give has come from.
type origin int

const (
	held    origin = iota // a message that the source holds: it should give the version
	removed               // one that lies before what the source holds
	lost                  // one that the source should hold, and does not
	failed                // one over which this build fails
	kindsOfOrigin
)

// origins tells of versions that the source does not give where they have come from. It
// asks what the streams hold once the source was read: what was removed before could
// not be read.
type origins struct {
	js         jetstream.JetStream
	layer      replay.Layer
	partitions int
	trail      *replay.Trail // of what was read
	streams    map[string]broker.StreamStatus
	known      map[message]origin // of messages that the broker was asked for
}

// message is a message of an ingress stream.
type message struct {
	stream   uint32
	sequence uint64
	received int64
}

// maxKnown bounds the answers that are kept: the rows of a series, which come one after
// the other, have few messages in common with others.
const maxKnown = 1 << 16

// of returns where a version of a series has come from.
func (o *origins) of(ctx context.Context, series *reading.Series, v *gold.Version) (origin, error) {
	partition := int(reading.Partition(series.EntityID, uint32(o.partitions)))
	if fails, err := o.trail.Failed(partition, v.Stamp); fails || err != nil {
		return failed, err
	}
	if v.Waived && o.layer != replay.Silver {
		// A release is a message of BRONZE, which its version does not name.
		if is, err := o.trail.Released(partition, v.Stamp); is || err != nil {
			return held, err
		}
		if v.Released < replay.HeldSince(o.streams[broker.StreamBronze]).UnixNano() {
			return removed, nil
		}
		return lost, nil
	}
	if o.layer == replay.Readings {
		return o.message(ctx, v.Stamp)
	}
	if v.Stamp.Received < replay.HeldSince(o.streams[o.layer.Stream()]).UnixNano() {
		return removed, nil
	}
	// The stamp names no message of this stream. One that was lost where producers had
	// put it may be lost here too.
	is, err := o.message(ctx, v.Stamp)
	if is == removed {
		is = held
	}
	return is, err
}

// message tells whether the message of a stamp is held where a producer put it.
func (o *origins) message(ctx context.Context, s reading.Stamp) (origin, error) {
	name := broker.IngressStream(int(s.Stream))
	stream, there := o.streams[name]
	switch {
	case !there || s.Received < stream.Created.UnixNano() || s.Sequence < stream.FirstSequence:
		return removed, nil
	case s.Sequence > stream.LastSequence:
		return lost, nil
	}
	key := message{s.Stream, s.Sequence, s.Received}
	if is, ok := o.known[key]; ok {
		return is, nil
	}
	is := held
	stored, err := broker.Get(ctx, o.js, name, s.Sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		is = removed
	case err != nil:
		return held, err
	case stored.Received.UnixNano() != s.Received:
		is = lost // another has its place
	}
	if len(o.known) >= maxKnown {
		clear(o.known)
	}
	o.known[key] = is
	return is, nil
}
