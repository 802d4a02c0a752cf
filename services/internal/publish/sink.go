package publish

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/producer"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/source"
)

// grace is how long answers are waited for once publishing has failed.
const grace = 2 * time.Second

// maxReceipts is more than there can be without an outcome: readings of files are
// handed over many at once, those of standard input wait no longer than the linger.
const maxReceipts = 4096

// sink hands readings to a producer and adds its receipts up. Publish is called by
// one goroutine; another looks at the receipts in their order.
type sink struct {
	producer *producer.Producer
	receipts chan *producer.Receipt // closed by run, after the last publish
	failed   chan error             // what became of the first reading that is not stored
	stored   Receipt                // the harvest's own: where, and the bad rows
}

func newSink(nc *nats.Conn, o *Options) (*sink, error) {
	js, err := broker.JetStream(nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	p, err := producer.New(js, producer.Options{
		Subject: o.Subject, Format: o.Format, MaxReadings: o.BatchSize, Linger: o.patience(),
		Timeout: o.Timeout, Grace: grace,
		// What makes no sense is the platform's to judge: it keeps it with its reason.
		Unchecked: true, RefuseMissing: true,
	})
	if err != nil {
		return nil, err
	}
	return &sink{
		producer: p, receipts: make(chan *producer.Receipt, maxReceipts), failed: make(chan error, 1),
	}, nil
}

// run runs pump, which calls publish, and returns when all that it published has its
// outcome, or when something is not stored and the rest has had its grace.
func (s *sink) run(ctx context.Context, pump func(context.Context) error) error {
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var g sync.WaitGroup
	g.Go(func() { _ = s.producer.Run(work) }) // the receipts tell
	g.Go(s.harvest)
	err := pump(ctx)
	if err == nil {
		err = s.producer.Flush(ctx)
	}
	end()
	close(s.receipts)
	g.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		select {
		case err = <-s.failed:
		default:
		}
	}
	return again(err)
}

// publish hands readings over as soon as there is room for them.
func (s *sink) publish(ctx context.Context, readings []reading.Reading) error {
	select {
	case err := <-s.failed:
		return err
	default:
		s.receipts <- s.producer.Publish(ctx, readings...)
		return ctx.Err()
	}
}

// harvest looks at receipts until there are no more.
func (s *sink) harvest() {
	for receipt := range s.receipts {
		<-receipt.Done()
		for _, o := range receipt.Outcomes() {
			s.note(o)
		}
	}
}

func (s *sink) note(o producer.Outcome) {
	if o.Err == nil {
		s.stored.acknowledge(o.Stream, o.Sequence)
		return
	}
	if wrong, ok := errors.AsType[*producer.ReadingError](o.Err); ok {
		s.stored.addBad(&source.RowError{
			File:     "reading of " + strconv.Quote(short(wrong.Reading.EntityID)),
			Expected: "a reading that can be sent", Hint: wrong.Err.Error(),
		})
		return
	}
	select {
	case s.failed <- o.Err:
	default:
	}
}

func short(text string) string { return text[:min(len(text), 40)] }

// addTo adds to a receipt what became of the readings, once run has returned.
func (s *sink) addTo(r *Receipt) {
	stats := s.producer.Stats()
	r.Published, r.Acknowledged = stats.Readings, stats.Stored
	r.Refused, r.Unconfirmed = stats.Refused, stats.Unconfirmed
	r.Messages, r.Bytes, r.Resent = stats.Messages, stats.Bytes, stats.Resent
	r.Stream, r.FirstSequence, r.LastSequence = s.stored.Stream, s.stored.FirstSequence, s.stored.LastSequence
	r.Bad += s.stored.Bad
	r.BadRows = append(r.BadRows, s.stored.BadRows...)
	r.BadRows = r.BadRows[:min(len(r.BadRows), maxBadRows)]
}

// again adds what to do about readings that are not known to be stored.
func again(err error) error {
	if errors.Is(err, producer.ErrUnconfirmed) || errors.Is(err, broker.ErrStreamFull) {
		return fmt.Errorf("%w; publishing the file again is safe: what is stored already does not count twice", err)
	}
	return err
}
