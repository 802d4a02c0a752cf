package producer

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
)

var (
	// ErrUnconfirmed says that a reading is stored or not: it was sent, and no
	// answer came. Publishing it again is safe.
	ErrUnconfirmed = errors.New("stored or not: no answer came")

	// ErrPending says that there is no outcome yet.
	ErrPending = errors.New("no outcome yet")

	// ErrClosed says that Run has ended, or ends: nothing is taken in.
	ErrClosed = errors.New("the producer is closed")
)

// ReadingError says why a reading was not sent and what mends it. The same reading
// will be refused again.
type ReadingError struct {
	Reading reading.Reading
	Err     error
}

func (e *ReadingError) Error() string {
	return fmt.Sprintf("reading of %.40q, metric %.40q: %v", e.Reading.EntityID, e.Reading.Metric, e.Err)
}

// Unwrap returns the cause.
func (e *ReadingError) Unwrap() error { return e.Err }

// fault says why a reading cannot be published, nil when nothing is known.
func (p *Producer) fault(r *reading.Reading) error {
	for _, text := range [...]struct{ name, value string }{
		{"entity_id", r.EntityID}, {"metric", r.Metric}, {"unit", r.Unit},
	} {
		if !utf8.ValidString(text.value) {
			return fmt.Errorf("%s %.40q is not valid UTF-8", text.name, text.value)
		}
	}
	switch {
	case !r.Quality.Valid():
		return fmt.Errorf("%s is not known; use one of package reading", r.Quality)
	case r.Length < 0:
		return fmt.Errorf("length %s is negative", r.Length)
	case p.o.Unchecked:
		return nil
	}
	return silver.Hopeless(r)
}

// isMissing reports whether nothing takes the subject. A broker that restarts
// answers like that too.
func isMissing(err error) bool { return errors.Is(err, jetstream.ErrNoStreamResponse) }

// retryable reports whether sending the same message again may succeed.
func (p *Producer) retryable(err error) bool {
	if isMissing(err) && p.o.RefuseMissing && !p.worked.Load() {
		return false
	}
	return broker.IsRetryable(err)
}

// explain says to people why a message is not acknowledged.
func (p *Producer) explain(err error) error {
	var api *jetstream.APIError
	switch {
	case isMissing(err):
		return fmt.Errorf("no stream takes %s: run energy migrate: %w", p.o.Subject,
			errors.Join(broker.ErrNotProvisioned, err))
	case errors.Is(err, broker.ErrStreamFull):
		return fmt.Errorf("readings were refused for %s: see energy status, "+
			"and give the stream more room with energy migrate --readings-bytes: %w", p.o.Timeout, err)
	case errors.Is(err, broker.ErrTooLarge):
		return fmt.Errorf("lower MaxBytes, or raise the broker's max_payload: %w", err)
	case errors.As(err, &api):
		return fmt.Errorf("the broker refused a message: %w", err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("the producer ended before an answer came: %w", err)
	}
	if last := p.conn.LastError(); last != nil && !errors.Is(err, last) {
		err = errors.Join(err, last) // a missing permission is told here only
	}
	if !p.conn.IsConnected() {
		return fmt.Errorf("the connection to the broker was lost and did not come back within %s: %w", p.o.Timeout, err)
	}
	return fmt.Errorf("no acknowledgement from %s within %s: %w", p.conn.ConnectedUrlRedacted(), p.o.Timeout, err)
}

// outcome is that of a message that was given up with err. One that never left is
// told what keeps the others.
func (p *Producer) outcome(d *delivery, err error) Outcome {
	trouble := p.trouble.Load()
	switch {
	case d.refusal != nil:
		err = d.refusal
	case !d.doubt && trouble != nil:
		err = *trouble
	}
	err = p.explain(err)
	if d.doubt {
		err = fmt.Errorf("%w: %w", ErrUnconfirmed, err)
	}
	return Outcome{Err: err}
}
