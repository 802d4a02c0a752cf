package aggregator

import (
	"context"
	"fmt"
	"log/slog"

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
// fit the stream any more is put to the stream's beginning first.
func open(
	ctx context.Context, d Deps, s source, log *slog.Logger,
) (*broker.Reader, goldstore.Position, error) {
	stored, err := d.Store.LoadPosition(ctx, s.stage, s.partition)
	if err != nil {
		return nil, stored, err
	}
	beginning, _, err := broker.Verify(ctx, d.JetStream, broker.Position{Stream: s.stream})
	if err != nil {
		return nil, stored, err
	}
	if reason, err := misfit(ctx, d, stored, beginning); err != nil {
		return nil, stored, err
	} else if reason != "" {
		if stored.Stream != "" {
			log.WarnContext(ctx, "position rewound", "reason", reason, "from", stored.Sequence, "to", beginning.Sequence)
		}
		stored, err = d.Store.ResetPosition(ctx, stored, s.stream, beginning.Created, beginning.Sequence)
		if err != nil {
			return nil, stored, err
		}
	}
	reader, err := broker.OpenReader(ctx, d.JetStream, broker.ReaderConfig{
		Stream: s.stream, FilterSubject: s.subject, From: stored.Sequence,
		Created: beginning.Created, Received: stored.Received, Budget: d.Budget, Logger: log,
	})
	if err != nil {
		return nil, stored, err
	}
	log.InfoContext(ctx, "stage reads", "stream", s.stream, "subject", s.subject, "after", stored.Sequence)
	return reader, stored, nil
}

// misfit says why a stored position cannot be kept, "" when it can.
func misfit(
	ctx context.Context, d Deps, stored goldstore.Position, beginning broker.Position,
) (reason string, err error) {
	if !stored.ReadsFrom(beginning.Stream, beginning.Created) {
		reason = fmt.Sprintf("stream %s was created at %s, the position is for another", beginning.Stream, beginning.Created)
		return reason, nil
	}
	_, reason, err = broker.Verify(ctx, d.JetStream, broker.Position{
		Stream: stored.Stream, Created: beginning.Created, Sequence: stored.Sequence, Received: stored.Received,
	})
	return reason, err
}
