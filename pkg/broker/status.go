package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// StreamStatus is what a stream holds.
type StreamStatus struct {
	Name          string
	Created       time.Time
	Messages      uint64
	Bytes         uint64
	MaxBytes      int64 // 0: unlimited
	FirstSequence uint64
	LastSequence  uint64
	FirstTime     time.Time
	LastTime      time.Time
}

// StreamStatuses returns the status of every stream of the platform, in the
// order of [Topology.Streams].
func StreamStatuses(ctx context.Context, js jetstream.JetStream) ([]StreamStatus, error) {
	shards, err := countShards(ctx, js)
	if err != nil {
		return nil, fmt.Errorf("stream statuses: %w", err)
	}
	var statuses []StreamStatus
	for _, cfg := range (Topology{IngressShards: shards}).Streams() {
		s, err := Stream(ctx, js, cfg.Name)
		if err != nil {
			return nil, err
		}
		statuses = append(statuses, s)
	}
	return statuses, nil
}

// Stream returns the status of one stream; a missing one is [ErrNotProvisioned].
func Stream(ctx context.Context, js jetstream.JetStream, name string) (StreamStatus, error) {
	info, err := lookUp(ctx, js, name)
	if err != nil {
		return StreamStatus{}, fmt.Errorf("status of stream %s: %w", name, err)
	}
	return StreamStatus{
		Name: name, Created: info.Created, MaxBytes: max(info.Config.MaxBytes, 0),
		Messages: info.State.Msgs, Bytes: info.State.Bytes,
		FirstSequence: info.State.FirstSeq, LastSequence: info.State.LastSeq,
		FirstTime: info.State.FirstTime, LastTime: info.State.LastTime,
	}, nil
}

// LastSequence is the sequence of the last stored message on a subject, which
// may have wildcards; 0 if there is none.
func LastSequence(ctx context.Context, js jetstream.JetStream, stream, subject string) (uint64, error) {
	answer, err := directGet(ctx, js, stream, directRequest{LastFor: subject})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("last sequence of %s on %s: %w", stream, subject, err)
	}
	sequence, err := strconv.ParseUint(brokerHeader(answer, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("last sequence of %s on %s: %w", stream, subject, err)
	}
	return sequence, nil
}

// Stored is a message as a stream holds it.
type Stored struct {
	Subject  string
	Received time.Time
	Header   nats.Header // of the producer; the broker's own are behind
	Data     []byte
}

// Get returns the message of a stream at a sequence, [jetstream.ErrMsgNotFound]
// when the stream does not hold it.
func Get(ctx context.Context, js jetstream.JetStream, stream string, sequence uint64) (*Stored, error) {
	answer, err := directGet(ctx, js, stream, directRequest{Sequence: sequence})
	if err != nil {
		return nil, fmt.Errorf("message %d of %s: %w", sequence, stream, err)
	}
	received, err := time.Parse(time.RFC3339Nano, brokerHeader(answer, jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("message %d of %s: %w", sequence, stream, err)
	}
	return &Stored{brokerHeader(answer, jetstream.SubjectHeader), received, answer.Header, answer.Data}, nil
}

// Original returns the message of an ingress stream that was stored then, at that
// sequence; nil when it is not held any more: deleted, or its stream gone or made
// anew.
func Original(
	ctx context.Context, js jetstream.JetStream, ingress int, sequence uint64, received time.Time,
) (*Stored, error) {
	name := IngressStream(ingress)
	stored, err := Get(ctx, js, name, sequence)
	if errors.Is(err, nats.ErrNoResponders) {
		if _, gone := Stream(ctx, js, name); errors.Is(gone, ErrNotProvisioned) {
			return nil, nil //nolint:nilnil // it is gone
		}
	}
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil //nolint:nilnil // it is gone
	case err != nil:
		return nil, err
	case !stored.Received.Equal(received):
		return nil, nil //nolint:nilnil // another has its place
	}
	return stored, nil
}

// Backlog is what is stored on a subject behind a position.
type Backlog struct {
	Messages uint64
	Sequence uint64    // of the oldest; 0 if there is none
	Oldest   time.Time // when the broker stored it; zero if there is none
}

// Age is how long the oldest message has waited at now; 0 if there is none.
func (b Backlog) Age(now time.Time) time.Duration {
	if b.Messages == 0 {
		return 0
	}
	return max(now.Sub(b.Oldest), 0)
}

// Pending counts the stored messages on a subject after a sequence, exactly, and
// dates the oldest. An empty subject is the whole stream. It costs one direct
// get, which brings the oldest message along, and no consumer.
func Pending(ctx context.Context, js jetstream.JetStream, stream, subject string, after uint64) (Backlog, error) {
	answer, err := directGet(ctx, js, stream, directRequest{Sequence: after + 1, NextFor: subject, Batch: 1})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Backlog{}, nil
	}
	if err != nil {
		return Backlog{}, fmt.Errorf("pending of %s on %s after %d: %w", stream, subject, after, err)
	}
	behind, err1 := strconv.ParseUint(brokerHeader(answer, "Nats-Num-Pending"), 10, 64)
	sequence, err2 := strconv.ParseUint(brokerHeader(answer, jetstream.SequenceHeader), 10, 64)
	oldest, err3 := time.Parse(time.RFC3339Nano, brokerHeader(answer, jetstream.TimeStampHeaer))
	if err := errors.Join(err1, err2, err3); err != nil {
		return Backlog{}, fmt.Errorf("pending of %s on %s after %d: %w", stream, subject, after, err)
	}
	return Backlog{Messages: behind + 1, Sequence: sequence, Oldest: oldest}, nil
}

type directRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`

	Start *time.Time `json:"start_time,omitempty"`
}

// directGet asks without looking up the stream first. nats.go's GetMsg is not
// used: it does not give the number of pending messages that the answer to a
// batch carries, and it believes a producer's headers, see brokerHeader. Of a
// batch of one only the message is awaited, the end marker is dropped.
func directGet(ctx context.Context, js jetstream.JetStream, stream string, req directRequest) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	answer, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "DIRECT.GET."+stream), body)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, fmt.Errorf("the broker is starting, or has no such stream with direct access: %w", err)
	}
	if err != nil {
		return nil, err
	}
	// A stored message may carry a Status header of its producer, but not
	// without the sequence that the broker adds.
	if status := answer.Header.Get("Status"); brokerHeader(answer, jetstream.SequenceHeader) == "" {
		if status == "404" {
			return nil, jetstream.ErrMsgNotFound
		}
		return nil, fmt.Errorf("direct get: %s %s", status, answer.Header.Get("Description"))
	}
	return answer, nil
}

// brokerHeader is the last value of a header. The broker adds its own headers of
// a direct get behind those that were stored, so a producer may have put a false
// one before it.
func brokerHeader(m *nats.Msg, name string) string {
	values := m.Header.Values(name)
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
