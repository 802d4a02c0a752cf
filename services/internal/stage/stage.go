// Package stage is the loop that ingest and silver-cleaner share: read a stream
// in order from a position, turn a batch of messages into messages for the next
// stream, and move the position once all of them are confirmed.
//
// Whatever crashes, every message behind a position has its output stored
// (invariant 1 of docs/invariants.md). Output may be stored twice; what comes
// after merges it away.
package stage

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/lifecycle"
	"github.com/energy-platform/energy/pkg/metrics"
	"github.com/energy-platform/energy/pkg/tracing"
)

// RejudgeKeys begins the keys of positions of readings that are judged again.
const RejudgeKeys = "rejudge-"

// PositionKey names the position of a stage for a partition or shard.
func PositionKey(stage string, n int) string { return fmt.Sprintf("%s.%d", stage, n) }

// Output is what a batch became.
type Output struct {
	Messages []*nats.Msg
	Counts   broker.Counts
	// Flagged is how many of those that were passed on a rule has flagged.
	Flagged uint64
}

// Config is one stage for one partition.
type Config struct {
	// Key names the position, such as "silver.3".
	Key string
	// Stream and Subject are read.
	Stream, Subject string
	// OutStreams is where output goes: the position rests on the end of each.
	OutStreams []string
	Limits     broker.BatchLimits
	Grace      time.Duration
	// Process turns messages into output, the same whenever it is asked. What
	// cannot be understood goes to quarantine; an error means that the stage itself
	// is broken, or that ctx ended.
	Process func(context.Context, []broker.Message) (Output, error)
	// Poison, if not nil, is where messages go that cannot be processed for their own
	// sake. Without it they stop the stage.
	Poison *Poison
	// Until, if not 0, is the last sequence to read: Run returns behind it.
	Until uint64
}

// Deps is what stages of one process share.
type Deps struct {
	JetStream jetstream.JetStream
	Publisher *broker.Publisher
	Positions *broker.Positions
	Budget    *broker.Budget
	Logger    *slog.Logger
	// Report tells how the stage is: nil for well.
	Report func(key string, trouble error)
	Tracer tracing.Tracer
	Count  *metrics.Stage // nil: nothing is counted
}

// Run runs a stage until ctx ends, then finishes the batch in hand within the
// grace period; with Until it runs no further than that. It returns an error when
// it cannot go on from its position: another owner moved it, or a stream was made
// anew. Starting it again mends both.
func Run(ctx context.Context, d Deps, c Config) error {
	s := &runner{Deps: d, Config: c}
	s.Logger = d.Logger.With("stage", c.Key)
	name, _, _ := strings.Cut(c.Key, ".")
	s.span = name + " batch"
	work, cancel := lifecycle.Drain(ctx, c.Grace)
	defer cancel()
	if err := s.start(ctx); err != nil {
		return lifecycle.Ended(ctx, err)
	}
	defer s.reader.Close()
	s.Report(c.Key, nil)
	for c.Until == 0 || s.position.Sequence < c.Until {
		batch, err := s.reader.NextBatch(ctx, c.Limits)
		if err != nil {
			return lifecycle.Ended(ctx, fmt.Errorf("stage %s: %w", c.Key, err))
		}
		messages := c.within(batch.Messages)
		if err = s.recheck(ctx); err == nil && len(messages) > 0 {
			err = s.pass(work, messages)
		}
		batch.Release()
		if err != nil {
			return lifecycle.Ended(ctx, fmt.Errorf("stage %s: %w", c.Key, err))
		}
		if len(messages) < len(batch.Messages) {
			return nil // behind Until, whether or not there still is a message at it
		}
	}
	return nil
}

// within returns the messages up to Until: what a batch has behind it is not read.
func (c *Config) within(messages []broker.Message) []broker.Message {
	if c.Until == 0 {
		return messages
	}
	n, _ := slices.BinarySearchFunc(messages, c.Until+1, func(m broker.Message, sequence uint64) int {
		return cmp.Compare(m.Sequence, sequence)
	})
	return messages[:n]
}

// runner is one stage at work.
type runner struct {
	Deps
	Config
	span     string // name of those of batches
	reader   *broker.Reader
	openings uint64 // of the reader that the position was verified for
	position broker.Position
	revision uint64
}

// start loads the position, checks it against the streams, and opens the reader
// behind it.
func (s *runner) start(ctx context.Context) error {
	stored, revision, err := s.Positions.Load(ctx, s.Key)
	if err != nil {
		return fmt.Errorf("load position of stage %s: %w", s.Key, err)
	}
	if stored.Stream == "" {
		stored.Stream = s.Stream
	}
	position, reason, err := broker.Verify(ctx, s.JetStream, stored.Onto(s.OutStreams...))
	if err != nil {
		return fmt.Errorf("verify position of stage %s: %w", s.Key, err)
	}
	if reason != "" {
		s.Logger.WarnContext(ctx, "position rewound", "reason", reason, "from", stored.Sequence, "to", position.Sequence)
		s.Count.Rewound(ctx)
	}
	s.position, s.revision = position, revision
	s.reader, err = broker.OpenReader(ctx, s.JetStream, broker.ReaderConfig{
		Stream: s.Stream, FilterSubject: s.Subject, From: position.Sequence,
		Created: position.Created, Received: position.Received, Budget: s.Budget, Logger: s.Logger,
	})
	if err != nil {
		return fmt.Errorf("stage %s: %w", s.Key, err)
	}
	s.openings = s.reader.Openings()
	s.Logger.InfoContext(ctx, "stage reads", "stream", s.Stream, "subject", s.Subject, "after", position.Sequence)
	return nil
}

// recheck verifies the position again when the reader had to open again: the
// broker may have come back without its tail.
func (s *runner) recheck(ctx context.Context) error {
	openings := s.reader.Openings()
	if openings == s.openings {
		return nil
	}
	position, reason, err := broker.Verify(ctx, s.JetStream, s.position)
	if err == nil && reason != "" {
		err = fmt.Errorf("the position does not fit any more: %s", reason)
	}
	if err == nil {
		s.position, s.openings = position, openings
	}
	return err
}

// pass takes the messages of one batch through the stage, in a span.
func (s *runner) pass(ctx context.Context, messages []broker.Message) error {
	ctx, span := s.Tracer.Batch(ctx, s.span, broker.Origins(ctx, messages))
	defer span.End()
	before := s.position.Counts
	err := s.through(ctx, messages)
	if err != nil {
		tracing.Failed(ctx, err)
	}
	broker.Describe(span, s.Key, s.Stream, messages)
	if after := &s.position.Counts; span.IsRecording() {
		span.SetAttributes(
			attribute.Int64("energy.readings.in", int64(after.In-before.In)),
			attribute.Int64("energy.readings.out", int64(after.Out-before.Out)),
			attribute.Int64("energy.readings.quarantined", int64(after.Quarantined-before.Quarantined)),
		)
	}
	return err
}

// through takes messages through the stage.
func (s *runner) through(ctx context.Context, messages []broker.Message) error {
	began := time.Now()
	first, last := &messages[0], &messages[len(messages)-1]
	out, err := s.process(ctx, messages)
	if out.Counts.Quarantined > 0 {
		tracing.Keep(ctx, tracing.Quarantine)
	}
	if err == nil {
		err = s.publish(ctx, out.Messages)
	}
	if s.Poison != nil && IsPoison(err) {
		return s.isolate(ctx, messages, err)
	}
	if err != nil {
		return fmt.Errorf("messages %d to %d: %w", first.Sequence, last.Sequence, err)
	}
	if err := s.move(ctx, last, &out); err != nil {
		return err
	}
	s.Count.Batch(ctx, began)
	s.Logger.DebugContext(ctx, "batch passed", "messages", len(messages),
		"position", last.Sequence, "readings", out.Counts.In, "quarantined", out.Counts.Quarantined,
		"seconds", time.Since(began).Seconds())
	return nil
}

// publish stores all messages, retrying what the broker does not take now.
func (s *runner) publish(ctx context.Context, messages []*nats.Msg) error {
	return s.Publisher.Deliver(ctx, messages, s.told(ctx, "publish"), s.position.RestOn)
}

// move stores the position behind the last message of a batch, retrying while
// the broker is away.
func (s *runner) move(ctx context.Context, last *broker.Message, out *Output) error {
	next, counts := s.position, &out.Counts
	next.Advance(*last)
	next.Counts.In += counts.In
	next.Counts.Out += counts.Out
	next.Counts.Quarantined += counts.Quarantined
	next.Counts.Again += counts.Again
	err := s.retry(ctx, "store position", func() error {
		revision, err := s.Positions.Store(ctx, s.Key, next, s.revision)
		if err == nil {
			s.position, s.revision = next, revision
		}
		return err
	})
	if err == nil {
		s.Count.Readings(ctx, metrics.Accepted, counts.Out-out.Flagged)
		s.Count.Readings(ctx, metrics.Flagged, out.Flagged)
		s.Count.Readings(ctx, metrics.Quarantined, counts.Quarantined)
	}
	return err
}

// retry calls what until it succeeds or fails for good.
func (s *runner) retry(ctx context.Context, name string, what func() error) error {
	return new(broker.Backoff).Retry(ctx, broker.IsRetryable, s.told(ctx, name), what)
}

// told returns what tells how the stage is while something is tried again.
func (s *runner) told(ctx context.Context, what string) func(error) {
	return func(err error) {
		s.Report(s.Key, err)
		if err != nil {
			tracing.Trouble(ctx, err)
			s.Logger.WarnContext(ctx, "stage retries", "what", what, "error", err)
			s.Count.Retried(ctx)
		}
	}
}
