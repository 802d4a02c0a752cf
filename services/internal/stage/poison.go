package stage

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/energy-platform/energy/pkg/broker"
)

// Poison says what becomes of a message that cannot be processed for its own sake: a
// bug makes the stage panic over it, or the broker will never take what it becomes.
type Poison struct {
	// Renew returns a Process as it was at the start: one that panicked is not trusted.
	Renew func() func(context.Context, []broker.Message) (Output, error)
	// Refuse returns the output that keeps the message in quarantine.
	Refuse func(m *broker.Message, cause error) (Output, error)
}

// panicError is what Process panicked with.
type panicError struct{ value any }

func (e *panicError) Error() string {
	return fmt.Sprintf("the stage failed over it, which is a bug: %v", e.value)
}

// isPoison reports whether an error lies in the messages and not in what is around.
func isPoison(err error) bool {
	_, panicked := errors.AsType[*panicError](err)
	return panicked || errors.Is(err, broker.ErrTooLarge)
}

// process calls Process and turns a panic into an error, if there is somewhere for the
// message to go.
func (s *runner) process(ctx context.Context, messages []broker.Message) (out Output, err error) {
	if s.Poison == nil {
		return s.Process(ctx, messages)
	}
	defer func() {
		if value := recover(); value != nil {
			s.Logger.ErrorContext(ctx, "stage panicked", "first", messages[0].Sequence,
				"last", messages[len(messages)-1].Sequence, "panic", value, "stack", string(debug.Stack()))
			s.Process = s.Poison.Renew()
			out, err = Output{}, &panicError{value}
		}
	}()
	return s.Process(ctx, messages)
}

// isolate halves a batch until the message that is at fault is alone, and refuses it. The
// position moves on behind each part.
func (s *runner) isolate(ctx context.Context, messages []broker.Message, cause error) error {
	if half := len(messages) / 2; half > 0 {
		if err := s.pass(ctx, messages[:half]); err != nil {
			return err
		}
		return s.pass(ctx, messages[half:])
	}
	m := &messages[0]
	s.Logger.ErrorContext(ctx, "message is refused", "sequence", m.Sequence, "error", cause)
	out, err := s.Poison.Refuse(m, cause)
	if err == nil {
		err = s.publish(ctx, out.Messages)
	}
	if err != nil {
		return fmt.Errorf("refuse message %d: %w", m.Sequence, err)
	}
	return s.move(ctx, m, out.Counts)
}
