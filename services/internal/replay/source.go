package replay

import (
	"context"
	"fmt"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/job"
)

// Source is what is replayed.
type Source struct {
	Reading   Reading
	Topology  broker.Topology
	History   *epochs.History
	Layer     Layer
	Selection job.Selection
	// Releases adds, to a replay of READINGS, the releases that BRONZE holds.
	Releases bool
	// Trail, if not nil, gets what was read.
	Trail *Trail
}

// Unit is a part of a replay that is read in order.
type Unit struct {
	Range
	Name      string    `json:"name"`               // among the units of the replay
	Created   time.Time `json:"created"`            // when the stream was made
	Shard     int       `json:"shard,omitempty"`    // of an ingress stream
	Partition int       `json:"partition"`          // −1: readings of all partitions
	Releases  bool      `json:"releases,omitempty"` // only the releases among the messages
}

// Batch is what some messages of a unit give.
type Batch struct {
	Unit     *Unit
	First    uint64 // sequences of the messages
	Last     uint64
	Messages int
	Parts    []Part // the unit's partition, or all
}

// Partition returns the partition of a part.
func (b *Batch) Partition(part int) int { return b.Unit.partition(part) }

func (u *Unit) partition(part int) int {
	if u.Partition >= 0 {
		return u.Partition
	}
	return part
}

// Units returns the parts of the replay. They may be read at the same time; what
// the streams get afterwards is not in them.
func (s *Source) Units(ctx context.Context) (units []Unit, err error) {
	if s.Layer == Readings {
		for n := range s.Topology.IngressShards {
			u := Unit{
				Range: Range{Stream: broker.IngressStream(n), Subject: broker.IngressSubject(n)},
				Name:  broker.IngressStream(n), Shard: n, Partition: -1,
			}
			if err := s.bound(ctx, &u, &s.Selection); err != nil {
				return nil, err
			}
			units = append(units, u)
		}
		if !s.Releases {
			return units, nil
		}
	}
	for p := range s.Topology.Partitions {
		u := Unit{Partition: p}
		selection := s.Selection
		switch s.Layer {
		case Silver:
			u.Stream, u.Subject = broker.StreamSilver, broker.SilverSubject(p)
		default:
			u.Stream, u.Subject = broker.StreamBronze, broker.BronzeSubject(p)
		}
		if u.Name = u.Subject; s.Layer == Readings {
			u.Releases, u.Name = true, "releases of "+u.Subject
			// Sequences are those of READINGS: which releases they select their stamps say.
			selection = job.Selection{ReceivedFrom: selection.ReceivedFrom}
		}
		if err := s.bound(ctx, &u, &selection); err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	return units, nil
}

// bound finds the range of a unit's messages.
func (s *Source) bound(ctx context.Context, u *Unit, selection *job.Selection) error {
	stream, err := broker.Stream(ctx, s.Reading.JetStream, u.Stream)
	if err != nil {
		return err
	}
	u.Created = stream.Created
	if u.After = max(stream.FirstSequence, 1) - 1; selection.FirstSequence > 0 {
		u.After = max(u.After, selection.FirstSequence-1)
	}
	if u.Until = stream.LastSequence; selection.LastSequence > 0 {
		u.Until = min(u.Until, selection.LastSequence)
	}
	if selection.ReceivedFrom > 0 {
		// A reading comes to BRONZE and SILVER no earlier than it was received.
		after, err := Before(ctx, s.Reading.JetStream, stream, u.Subject, time.Unix(0, selection.ReceivedFrom))
		if err != nil {
			return err
		}
		u.After = max(u.After, after)
	}
	if selection.ReceivedTo > 0 && s.Layer == Readings && !u.Releases {
		until, err := Before(ctx, s.Reading.JetStream, stream, u.Subject, time.Unix(0, selection.ReceivedTo))
		if err != nil {
			return err
		}
		u.Until = min(u.Until, until)
	}
	return nil
}

// Each calls fn with what the unit's messages behind a sequence give, a batch at a
// time.
func (s *Source) Each(ctx context.Context, u *Unit, after uint64, fn func(*Batch) error) error {
	of, refiner := u.Range, NewRefiner(s.Topology, s.History, s.Reading.Logger)
	of.After = max(of.After, after)
	each := s.Reading.Each
	if u.Releases {
		each = s.Reading.releases
	}
	return each(ctx, of, func(messages []broker.Message) error {
		b := &Batch{
			Unit: u, First: messages[0].Sequence, Last: messages[len(messages)-1].Sequence, Messages: len(messages),
		}
		var err error
		if b.Parts, err = s.refine(ctx, refiner, u, messages); err != nil {
			return fmt.Errorf("replay %s from %d on: %w", u.Name, b.First, err)
		}
		return fn(b)
	})
}

// trace notes what was refined.
func (s *Source) trace(u *Unit, messages []broker.Message) error {
	if s.Trail == nil || s.Layer == Silver {
		return nil
	}
	for i := range messages {
		m := &messages[i]
		if u.Partition < 0 {
			stamp := reading.Stamp{Received: m.Received.UnixNano(), Stream: uint32(u.Shard), Sequence: m.Sequence}
			if err := s.Trail.addMessage(refined, everyPartition, stamp); err != nil {
				return err
			}
			continue
		}
		batch, err := wire.DecodeBronze(m.Data)
		if err != nil {
			continue // silver-cleaner has put it into quarantine as it is
		}
		for row := range batch.Rows() {
			if err := s.traceRow(u, &row); err != nil {
				return err
			}
		}
	}
	return nil
}

// traceRow notes a reading of BRONZE. A release speaks for itself alone.
func (s *Source) traceRow(u *Unit, row *wire.BronzeRow) error {
	switch {
	case row.Waived != nil:
		return s.Trail.add(released, u.Partition, row.Stamp)
	case !u.Releases:
		return s.Trail.addMessage(refined, u.Partition, row.Stamp)
	}
	return nil
}

func (s *Source) refineAll(ctx context.Context, r *Refiner, u *Unit, messages []broker.Message) ([]Part, error) {
	if u.Partition < 0 {
		return r.Readings(ctx, u.Shard, messages)
	}
	var (
		part Part
		err  error
	)
	if s.Layer == Silver {
		part = r.Silver(messages)
	} else {
		part, err = r.Bronze(ctx, u.Partition, messages)
	}
	return []Part{part}, err
}
