package cleaner

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/refusal"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Process judges messages of BRONZE: that of a Cleaner or a Rejudger.
type Process = func(context.Context, []broker.Message) (stage.Output, error)

// Isolator judges messages over some of whose readings judging panics, which is a bug:
// such a reading is refused alone, as itself, and its neighbours are judged
// (invariant 5). It is used by one goroutine.
type Isolator struct {
	renew   func() Process
	process Process // nil after a panic: it is not trusted any more
	log     *slog.Logger
}

// NewIsolator returns an isolator of what renew returns a new one of each time.
func NewIsolator(renew func() Process, log *slog.Logger) *Isolator {
	return &Isolator{renew: renew, log: log}
}

// Judge returns what messages give and, apart, the readings over which judging fails,
// refused: whole messages where it is not known which.
func (i *Isolator) Judge(ctx context.Context, messages []broker.Message) (out, poison stage.Output, err error) {
	if out, err = i.try(ctx, i.log, messages); stage.IsPoison(err) {
		out, poison, err = i.isolate(ctx, messages, err)
	}
	if n := poison.Counts.Quarantined; n > 0 {
		i.log.ErrorContext(ctx, "readings are refused over which judging fails", "readings", n,
			"first", messages[0].Sequence, "last", messages[len(messages)-1].Sequence)
	}
	return out, poison, err
}

// Refuse is what becomes of a message over which a stage fails: see stage.Poison.
func (i *Isolator) Refuse(ctx context.Context, m *broker.Message, cause error) (stage.Output, error) {
	if errors.Is(cause, broker.ErrTooLarge) {
		return refuse(m, nil, cause) // it was judged, and what that gave cannot be stored
	}
	i.process = nil
	out, poison, err := i.isolate(ctx, []broker.Message{*m}, cause)
	return join(out, poison), err
}

func (i *Isolator) try(ctx context.Context, log *slog.Logger, messages []broker.Message) (stage.Output, error) {
	if i.process == nil {
		i.process = i.renew()
	}
	out, err := stage.Guard(ctx, log, messages, func() (stage.Output, error) { return i.process(ctx, messages) })
	if err != nil {
		i.process = nil
	}
	return out, err
}

// isolate judges the halves of messages that failed, down to the rows of one.
func (i *Isolator) isolate(
	ctx context.Context, messages []broker.Message, cause error,
) (out, poison stage.Output, err error) {
	var halves [][]broker.Message
	if n := len(messages) / 2; n > 0 {
		halves = [][]broker.Message{messages[:n], messages[n:]}
	} else {
		m := &messages[0]
		batch, parts := i.parts(ctx, m)
		if len(parts) == 0 {
			poison, err = refuse(m, batch, cause)
			return out, poison, err
		}
		for _, data := range parts {
			part := *m
			part.Data = data
			halves = append(halves, []broker.Message{part})
		}
	}
	for _, half := range halves {
		// That it fails was told, with where; how often it does until all are alone is not.
		good, err := i.try(ctx, slog.New(slog.DiscardHandler), half)
		var bad stage.Output
		if stage.IsPoison(err) {
			good, bad, err = i.isolate(ctx, half, err)
		}
		if err != nil {
			return out, poison, err
		}
		out, poison = join(out, good), join(poison, bad)
	}
	return out, poison, nil
}

// parts decodes a message, and returns messages of half its rows each. There is no batch
// if it cannot be decoded.
func (i *Isolator) parts(ctx context.Context, m *broker.Message) (batch *wire.Bronze, parts [][]byte) {
	parts, err := stage.Guard(ctx, i.log, []broker.Message{*m}, func() (parts [][]byte, err error) {
		decoded, err := wire.DecodeBronze(m.Data)
		if err != nil {
			return nil, err
		}
		if parts, err = decoded.Halves(); err == nil {
			batch = decoded
		}
		return parts, err
	})
	if err != nil {
		return nil, nil
	}
	return batch, parts
}

// refuse keeps what cannot be judged for its own sake in quarantine: the reading, of a
// batch with one, else the message.
func refuse(m *broker.Message, batch *wire.Bronze, cause error) (stage.Output, error) {
	o := newOutput(0)
	o.counts.In++
	if batch == nil || batch.Len() != 1 {
		o.refuse(reading.Undecodable, 0, refusal.Foreign(m, cause))
		return o.take()
	}
	if batch.Again() {
		o.counts.Again++
	}
	for row := range batch.Rows() {
		o.refuse(reading.Undecodable, 0, wire.Refusal{
			Reading: shortened(row.Reading), Stamp: row.Stamp, Detail: cause.Error(),
			Rules: reading.Rules(0).With(reading.Undecodable),
		})
	}
	return o.take()
}

// maxIdentifier bounds what a refusal has of a name that is no name: ingest lets no
// longer ones in.
const maxIdentifier = 4 << 10

func shortened(r reading.Reading) reading.Reading {
	for _, name := range []*string{&r.EntityID, &r.Metric, &r.Unit} {
		if len(*name) > maxIdentifier {
			*name = strings.ToValidUTF8((*name)[:maxIdentifier], "")
		}
	}
	return r
}

func join(a, b stage.Output) stage.Output {
	a.Messages = append(a.Messages, b.Messages...)
	a.Counts.In += b.Counts.In
	a.Counts.Out += b.Counts.Out
	a.Counts.Quarantined += b.Counts.Quarantined
	a.Counts.Again += b.Counts.Again
	a.Flagged += b.Flagged
	return a
}
