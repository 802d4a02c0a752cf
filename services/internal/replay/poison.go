package replay

import (
	"context"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/stage"
)

// isolate refines messages and, where that fails for the sake of one of them, halves of
// them, until that one is alone and refused: it stops no replay, as it stops no stage.
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
	}
	return parts, err
}

// refine refines messages of a unit, and notes in the trail those that it could. One over
// which this build fails it has no say on: what an earlier build made of it stays. A
// refiner that panicked is not trusted any more.
func (s *Source) refine(ctx context.Context, r *Refiner, u *Unit, messages []broker.Message) ([]Part, error) {
	refine := func(messages []broker.Message) ([]Part, error) {
		parts, err := stage.Guard(ctx, s.Reading.Logger, messages, func() ([]Part, error) {
			return s.refineAll(ctx, r, u, messages)
		})
		if stage.IsPoison(err) {
			*r = *NewRefiner(s.Topology, s.History, s.Reading.Logger)
		}
		if err != nil {
			return nil, err
		}
		return parts, s.trace(u, messages)
	}
	return isolate(messages, refine, func(m *broker.Message, cause error) ([]Part, error) {
		s.Reading.Logger.ErrorContext(ctx, "message is refused", "unit", u.Name, "sequence", m.Sequence, "error", cause)
		return s.refuse(r, u, m, cause)
	})
}

// refuse returns what keeps a message in quarantine, as its stage does. Of SILVER it is
// gold-aggregator that has.
func (s *Source) refuse(r *Refiner, u *Unit, m *broker.Message, cause error) ([]Part, error) {
	parts := make([]Part, 1)
	var (
		out stage.Output
		err error
	)
	switch {
	case u.Partition < 0:
		parts = make([]Part, s.Topology.Partitions)
		out, err = r.decoders[u.Shard].Refuse(m, cause)
	case s.Layer != Silver:
		out, err = cleaner.Refuse(m, cause)
	}
	if err != nil {
		return nil, err
	}
	parts[0].Readings = out.Counts.In
	for _, one := range out.Messages {
		if err := parts[0].refuse(one); err != nil {
			return nil, err
		}
	}
	return parts, nil
}
