package replay

import (
	"context"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/refusal"
	"github.com/energy-platform/energy/services/internal/stage"
)

// isolate refines messages and, where that fails for the sake of one of them, halves of
// them, until that one is alone and refused: it stops no replay, as it stops no stage
// (invariant 5).
func isolate(
	messages []broker.Message, refine func([]broker.Message) ([]Part, error),
	refuse func(*broker.Message, error) ([]Part, error),
) ([]Part, error) {
	parts, err := refine(messages)
	if !stage.IsPoison(err) {
		return parts, err
	}
	half := len(messages) / 2
	if half == 0 {
		return refuse(&messages[0], err)
	}
	if parts, err = isolate(messages[:half], refine, refuse); err != nil {
		return nil, err
	}
	rest, err := isolate(messages[half:], refine, refuse)
	for p := range rest {
		parts[p].Readings += rest[p].Readings
		parts[p].Silver = append(parts[p].Silver, rest[p].Silver...)
		parts[p].Refused = append(parts[p].Refused, rest[p].Refused...)
		parts[p].Poison = append(parts[p].Poison, rest[p].Poison...)
	}
	return parts, err
}

// refine refines messages of a unit, and notes what it has read, and over what of that
// this build fails: there it has no say, and what an earlier build made of it stays. A
// refiner that panicked is not trusted any more.
func (s *Source) refine(ctx context.Context, r *Refiner, u *Unit, messages []broker.Message) ([]Part, error) {
	refine := func(messages []broker.Message) ([]Part, error) {
		parts, err := stage.Guard(ctx, s.Reading.Logger, messages, func() ([]Part, error) {
			parts, err := s.refineAll(ctx, r, u, messages)
			if err != nil {
				return nil, err
			}
			return parts, s.trace(u, messages)
		})
		if stage.IsPoison(err) {
			*r = *NewRefiner(s.Topology, s.History, s.Reading.Logger)
		}
		if err != nil {
			return nil, err
		}
		return parts, s.fail(u, parts)
	}
	return isolate(messages, refine, func(m *broker.Message, cause error) ([]Part, error) {
		s.Reading.Logger.ErrorContext(ctx, "message is refused", "unit", u.Name, "sequence", m.Sequence, "error", cause)
		return s.refuse(r, u, m, cause)
	})
}

// fail notes the readings of parts over which this build fails.
func (s *Source) fail(u *Unit, parts []Part) error {
	for p := range parts {
		for _, batch := range parts[p].Poison {
			for one := range batch.Refusals() {
				if err := s.Trail.add(failed, u.partition(p), one.Stamp); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// refuse returns what keeps a message in quarantine, as ingest does. What BRONZE and SILVER
// have cannot be told of one that fails as a whole: it is noted as such.
func (s *Source) refuse(r *Refiner, u *Unit, m *broker.Message, cause error) ([]Part, error) {
	stamp := reading.Stamp{Received: m.Received.UnixNano(), Stream: uint32(u.Shard), Sequence: m.Sequence}
	if u.Partition >= 0 {
		stamp.Stream = refusal.ForeignStream
		return make([]Part, 1), s.Trail.addMessage(failed, u.Partition, stamp)
	}
	parts := make([]Part, s.Topology.Partitions)
	out, err := r.decoders[u.Shard].Refuse(m, cause)
	if err != nil {
		return nil, err
	}
	parts[0].Readings = out.Counts.In
	for _, one := range out.Messages {
		if err := refuse(&parts[0].Poison, one); err != nil {
			return nil, err
		}
	}
	return parts, s.Trail.addMessage(failed, everyPartition, stamp)
}
