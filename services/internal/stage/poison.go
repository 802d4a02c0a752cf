package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/tracing"
)

// Poison says what becomes of a message that cannot be processed for its own sake: a
// bug makes the stage panic over it, or the broker will never take what it becomes. It ends
// in quarantine, and stops nothing (invariants 4 and 5).
type Poison struct {
	// Renew returns a Process as it was at the start: one that panicked is not trusted.
	Renew func() func(context.Context, []broker.Message) (Output, error)
	// Refuse returns the output that keeps the message in quarantine or, where it is known
	// what of it is at fault, that of it and what the rest becomes.
	Refuse func(ctx context.Context, m *broker.Message, cause error) (Output, error)
}

// panicError is what was panicked with.
type panicError struct{ value any }

func (e *panicError) Error() string {
	return fmt.Sprintf("it failed over it, which is a bug: %v", e.value)
}

// IsPoison reports whether an error lies in the messages and not in what is around.
func IsPoison(err error) bool {
	_, panicked := errors.AsType[*panicError](err)
	return panicked || errors.Is(err, broker.ErrTooLarge)
}

// Guard calls work on messages, and turns a panic into an error that IsPoison.
func Guard[Out any](
	ctx context.Context, log *slog.Logger, messages []broker.Message, work func() (Out, error),
) (out Out, err error) {
	defer func() {
		if value := recover(); value != nil {
			log.ErrorContext(ctx, "panicked over messages", "first", messages[0].Sequence,
				"last", messages[len(messages)-1].Sequence, "panic", value, "stack", string(debug.Stack()))
			err = &panicError{value}
		}
	}()
	return work()
}

// process calls Process and turns a panic into an error, if there is somewhere for the
// message to go.
func (s *runner) process(ctx context.Context, messages []broker.Message) (Output, error) {
	if s.Poison == nil {
		return s.Process(ctx, messages)
	}
	out, err := Guard(ctx, s.Logger, messages, func() (Output, error) { return s.Process(ctx, messages) })
	if _, panicked := errors.AsType[*panicError](err); panicked {
		s.Process = s.Poison.Renew()
		return Output{}, err
	}
	return out, err
}

// isolate halves a batch until the message that is at fault is alone, and refuses it. The
// position moves on behind each part.
func (s *runner) isolate(ctx context.Context, messages []broker.Message, cause error) error {
	if half := len(messages) / 2; half > 0 {
		if err := s.through(ctx, messages[:half]); err != nil {
			return err
		}
		return s.through(ctx, messages[half:])
	}
	m := &messages[0]
	tracing.Trouble(ctx, cause)
	s.Logger.ErrorContext(ctx, "message cannot be processed", "sequence", m.Sequence, "error", cause)
	out, err := s.Poison.Refuse(ctx, m, cause)
	if err == nil {
		err = s.publish(ctx, out.Messages)
	}
	if err != nil {
		return fmt.Errorf("refuse message %d: %w", m.Sequence, err)
	}
	s.Count.Poison(ctx)
	return s.move(ctx, m, &out)
}
