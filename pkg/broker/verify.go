package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Verify checks a position against the streams that it names. To be called when
// a stage starts and after every reconnect, before it reads on. For a stage
// without a position the caller fills in Stream and the streams of Outputs only.
//
// The answer is where to go on. A reason that is not empty says, in a sentence
// for the log, why the position could not be kept: it is then at the input's
// first sequence, with counters zero unless messages before that were removed: what is
// read again then counts twice, as deliveries do that come again. That is always safe,
// since a replay changes nothing, while going on would lose:
//
//   - the input was recreated, ends before the position, or has another message
//     at its sequence: what came in again under the old sequences would be skipped;
//   - an output that the position rests on was recreated, ends before that, or has
//     another message there: what was lost would not be written again.
//
// A message that is no longer there to compare, because the janitor removed it,
// is no reason. Errors: [ErrStreamMissing] or the broker's.
func Verify(ctx context.Context, js jetstream.JetStream, pos Position) (Position, string, error) {
	in, err := streamInfo(ctx, js, pos.Stream)
	if err != nil {
		return pos, "", fmt.Errorf("verify position: %w", err)
	}
	begun := pos
	begun.Outputs = slices.Clone(pos.Outputs)
	ends := make([]*jetstream.StreamInfo, len(begun.Outputs))
	for i := range begun.Outputs {
		o := &begun.Outputs[i]
		if ends[i], err = streamInfo(ctx, js, o.Stream); err != nil {
			return pos, "", fmt.Errorf("verify position: %w", err)
		}
		if o.Sequence == 0 {
			o.Created = ends[i].Created // it rests on nothing there
		}
	}
	if pos.Created.IsZero() {
		return rewound(begun, in, ends), "", nil
	}
	reason := checkEnd("input", pos.Stream, in, pos.Created, pos.Sequence)
	for i := 0; i < len(ends) && reason == ""; i++ {
		o := &begun.Outputs[i]
		reason = checkEnd("output", o.Stream, ends[i], o.Created, o.Sequence)
	}
	if reason == "" {
		if reason, err = checkMessages(ctx, js, pos); err != nil {
			return pos, "", fmt.Errorf("verify position: %w", err)
		}
	}
	if reason != "" {
		return rewound(begun, in, ends), reason, nil
	}
	return begun, "", nil
}

// rewound starts at the input's first message and rests on nothing.
func rewound(pos Position, in *jetstream.StreamInfo, ends []*jetstream.StreamInfo) Position {
	outputs := make([]Output, len(ends))
	for i := range ends {
		outputs[i] = Output{Stream: pos.Outputs[i].Stream, Created: ends[i].Created}
	}
	begun := Position{
		Stream: pos.Stream, Created: in.Created, Sequence: max(in.State.FirstSeq, 1) - 1, Outputs: outputs,
	}
	if begun.Sequence > 0 && in.Created.Equal(pos.Created) {
		begun.Counts = pos.Counts // what was removed is not counted again
	}
	return begun
}

func checkEnd(role, name string, info *jetstream.StreamInfo, created time.Time, sequence uint64) string {
	if !info.Created.Equal(created) {
		return fmt.Sprintf("%s stream %s was recreated at %s, the position is for the one of %s",
			role, name, info.Created.UTC().Format(time.RFC3339Nano), created.UTC().Format(time.RFC3339Nano))
	}
	if info.State.LastSeq < sequence {
		return fmt.Sprintf("%s stream %s lost its tail: it ends at %d, the position rests on %d",
			role, name, info.State.LastSeq, sequence)
	}
	return ""
}

// checkMessages finds a tail that was lost and has grown again beyond the
// position: its end looks right, its messages are others.
func checkMessages(ctx context.Context, js jetstream.JetStream, pos Position) (string, error) {
	const reused = "%s stream %s lost its tail: another message has sequence %d, on which the position rests"
	if pos.Sequence > 0 && !pos.Received.IsZero() {
		m, err := storedMessage(ctx, js, pos.Stream, pos.Sequence)
		if err != nil {
			return "", err
		}
		if m != nil && !m.received.Equal(pos.Received) {
			return fmt.Sprintf(reused, "input", pos.Stream, pos.Sequence), nil
		}
	}
	for _, o := range pos.Outputs {
		if o.Sequence == 0 || o.Sum == 0 {
			continue
		}
		m, err := storedMessage(ctx, js, o.Stream, o.Sequence)
		if err != nil {
			return "", err
		}
		if m != nil && sum(m.data) != o.Sum {
			return fmt.Sprintf(reused, "output", o.Stream, o.Sequence), nil
		}
	}
	return "", nil
}

// stored is what a position is compared with.
type stored struct {
	received time.Time
	data     []byte
}

// storedMessage is nil if the message has been removed.
func storedMessage(ctx context.Context, js jetstream.JetStream, stream string, sequence uint64) (*stored, error) {
	answer, err := directGet(ctx, js, stream, directRequest{Sequence: sequence})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("message %d of %s: %w", sequence, stream, err)
	}
	received, err := time.Parse(time.RFC3339Nano, brokerHeader(answer, jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("message %d of %s: %w", sequence, stream, err)
	}
	return &stored{received: received, data: answer.Data}, nil
}
