package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrStreamFull says that a stream, or the broker's storage, is at its limit.
	// It is back-pressure: retry until somebody reads and the janitor removes.
	ErrStreamFull = errors.New("stream is full")

	// ErrTooLarge says that a message is larger than the broker or the stream
	// accepts. The same message will never be accepted.
	ErrTooLarge = errors.New("message is too large")
)

// PublishError says which message JetStream did not confirm.
type PublishError struct {
	Subject string
	Err     error
}

func (e *PublishError) Error() string { return fmt.Sprintf("publish on %s: %v", e.Subject, e.Err) }

// Unwrap returns the cause.
func (e *PublishError) Unwrap() error { return e.Err }

// Error codes of the JetStream API that nats.go does not name.
const (
	codeStreamLimits       jetstream.ErrorCode = 10053
	codeStoreFailed        jetstream.ErrorCode = 10077
	codeNoResources        jetstream.ErrorCode = 10023
	codeNoStorage          jetstream.ErrorCode = 10047
	codeAccountResources   jetstream.ErrorCode = 10002
	codeExpectedStream     jetstream.ErrorCode = 10060
	codeHeaderTooLarge     jetstream.ErrorCode = 10097
	codeTooManyRequests    jetstream.ErrorCode = 10167
	codeWrongLastMessageID jetstream.ErrorCode = 10070
)

// classify adds the sentinel that an error of the broker stands for.
func classify(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode {
	case jetstream.JSErrCodeStreamMessageExceedsMaximum, codeHeaderTooLarge:
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case codeNoResources, codeNoStorage, codeAccountResources, codeStreamLimits:
		return fmt.Errorf("%w: %w", ErrStreamFull, err)
	case codeStoreFailed:
		// One code for every failure of the store; the text tells them apart.
		switch {
		case strings.Contains(api.Description, "too large"):
			return fmt.Errorf("%w: %w", ErrTooLarge, err)
		case strings.Contains(api.Description, "maximum"):
			return fmt.Errorf("%w: %w", ErrStreamFull, err)
		}
	}
	return err
}

// IsRefusal reports whether an error of a publish tells that the message is not
// stored: the broker said so, or it never left. Any other leaves that open (invariant 16).
func IsRefusal(err error) bool {
	if _, ok := errors.AsType[*jetstream.APIError](err); ok {
		return true
	}
	for _, refusal := range []error{
		jetstream.ErrNoStreamResponse, ErrTooLarge,
		// nats.go checks these before it writes anything.
		nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrReconnectBufExceeded, nats.ErrBadSubject,
		nats.ErrInvalidMsg, nats.ErrHeadersNotSupported, jetstream.ErrAsyncPublishReplySubjectSet,
		jetstream.ErrTooManyStalledMsgs,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// IsRetryable reports whether the same call may succeed later. It is false for
// nil, for a cancelled context, and for what the broker will refuse again. What
// is not known is retryable: a retry changes nothing in the result.
func IsRetryable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrTooLarge) {
		return false
	}
	if errors.Is(err, ErrStreamFull) {
		return true
	}
	for _, permanent := range []error{
		nats.ErrConnectionClosed, nats.ErrBadSubject, nats.ErrInvalidMsg, nats.ErrHeadersNotSupported,
		nats.ErrBadHeaderMsg, jetstream.ErrAsyncPublishReplySubjectSet,
		ErrPositionMoved, ErrStreamMissing, ErrStreamRecreated, ErrBeyondEnd, ErrReaderClosed,
		ErrNotProvisioned, ErrPartitionMismatch, ErrFormat, jetstream.ErrInvalidKey,
	} {
		if errors.Is(err, permanent) {
			return false
		}
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch api.ErrorCode {
		case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant,
			codeExpectedStream, codeWrongLastMessageID:
			return false
		case codeTooManyRequests:
			return true
		}
		return api.Code != 400
	}
	return true
}
