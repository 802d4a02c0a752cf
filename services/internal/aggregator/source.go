package aggregator

import (
	"context"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
)

// source is a stream read from a position that is kept in Postgres.
type source struct {
	stream, subject string
	stage           string
	partition       uint32
}

// open returns a reader behind the stored position. A position that does not
// fit the streams any more is put to the input's beginning first.
func open(
	ctx context.Context, d Deps, s source, log *slog.Logger,
) (*broker.Reader, goldstore.Position, error) {
	stored, err := d.Store.LoadPosition(ctx, s.stage, s.partition)
	if err != nil {
		return nil, stored, err
	}
	kept := stored
	if kept.Stream != s.stream {
		kept = goldstore.Position{Stream: s.stream}
	}
	at, reason, err := Verify(ctx, d.JetStream, kept)
	if err != nil {
		return nil, stored, err
	}
	if reason != "" || stored.Stream != s.stream {
		if stored.Stream != "" {
			log.WarnContext(ctx, "position rewound", "reason", reason, "from", stored.Sequence, "to", at.Sequence)
			d.Count.Rewound(ctx)
		}
		stored, err = d.Store.ResetPosition(ctx, stored, s.stream, at.Created, at.Sequence)
		if err != nil {
			return nil, stored, err
		}
	}
	stored.Refused = refusedOf(&at.Outputs[0])
	reader, err := broker.OpenReader(ctx, d.JetStream, broker.ReaderConfig{
		Stream: s.stream, FilterSubject: s.subject, From: stored.Sequence,
		Created: at.Created, Received: stored.Received, Budget: d.Budget, Logger: log,
	})
	if err != nil {
		return nil, stored, err
	}
	log.InfoContext(ctx, "stage reads", "stream", s.stream, "subject", s.subject, "after", stored.Sequence)
	return reader, stored, nil
}

// Verify checks a stored position against its streams and returns where its stage goes
// on; see broker.Verify.
func Verify(
	ctx context.Context, js jetstream.JetStream, p goldstore.Position,
) (at broker.Position, reason string, err error) {
	at = broker.Position{
		Stream: p.Stream, Created: p.Created, Sequence: p.Sequence, Received: p.Received,
		Outputs: []broker.Output{*quarantineEnd(p.Refused)},
	}
	input, err := broker.Stream(ctx, js, p.Stream)
	if err != nil {
		return at, "", err
	}
	if p.ReadsFrom(p.Stream, input.Created) {
		at.Created = input.Created // with all its digits
	}
	return broker.Verify(ctx, js, at)
}

// quarantineEnd returns what a position rests on in QUARANTINE, refusedOf as it is
// stored.
func quarantineEnd(r goldstore.Refused) *broker.Output {
	return &broker.Output{Stream: broker.StreamQuarantine, Created: r.Created, Sequence: r.Sequence, Sum: r.Sum}
}

func refusedOf(o *broker.Output) goldstore.Refused {
	return goldstore.Refused{Created: o.Created, Sequence: o.Sequence, Sum: o.Sum}
}
