// Package publish sends readings from files to JetStream and tells truthfully
// what became of them.
//
// What it promises: a reading counts as acknowledged only when JetStream has
// confirmed the message that holds it. Whatever is published is in the end
// acknowledged, refused (certainly not stored) or unconfirmed (stored or not,
// nobody said). A message without an answer is sent again until a timeout, so a
// reading may be stored twice; that changes nothing in gold, and publishing a
// whole file again is as harmless.
//
// Sending is package producer's part, with its promises on order and memory. When
// the readings are shuffled all of them are held, else only the rows read ahead.
package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/producer"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/source"
)

// Defaults of Options.
const (
	DefaultURL       = nats.DefaultURL
	DefaultSubject   = "readings.publish"
	DefaultBatchSize = producer.DefaultMaxReadings
	DefaultTimeout   = producer.DefaultTimeout
)

// ErrBadRows says that rows were left out. Everything else was published.
var ErrBadRows = errors.New("bad rows were left out")

// Options says what to publish and where. Only Files is needed.
type Options struct {
	// Files are paths; "-" is Stdin.
	Files   []string
	Stdin   io.Reader // nil is the process's own
	Mapping source.Mapping

	// Conn is used and left open, with one more subscription. Nil: a connection is
	// made to URL with the options NATS, and closed.
	Conn *nats.Conn
	URL  string // empty is DefaultURL
	NATS []nats.Option

	Subject   string          // empty is DefaultSubject
	Format    producer.Format // 0 is JSON
	BatchSize int             // readings a message, 0 is DefaultBatchSize; 1 publishes bare readings
	Timeout   time.Duration   // how long a message may stay unacknowledged; 0 is DefaultTimeout

	// Duplicate is the fraction of readings that is published twice, and Shuffle
	// the seed of a random order of all of them: for tests of pipelines.
	Duplicate float64
	Shuffle   *uint64

	// Progress gets a bar if it is a terminal, else a line now and then. Nil:
	// nothing.
	Progress io.Writer
}

func (o *Options) setDefaults() {
	if o.URL == "" {
		o.URL = DefaultURL
	}
	if o.Subject == "" {
		o.Subject = DefaultSubject
	}
	o.Format = cmp.Or(o.Format, producer.JSON)
	if o.BatchSize == 0 {
		o.BatchSize = DefaultBatchSize
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Stdin == nil {
		o.Stdin = os.Stdin
	}
}

// check reports every fault that can be found before anything is published.
func (o *Options) check() error {
	var faults []error
	if len(o.Files) == 0 {
		faults = append(faults, errors.New("name the files to publish, or - for standard input"))
	}
	for _, path := range o.Files {
		if path == source.Stdin {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			faults = append(faults, err)
		}
	}
	if err := o.Mapping.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("mapping: %w", err))
	}
	if err := producer.CheckSubject(o.Subject); err != nil {
		faults = append(faults, err)
	}
	if o.BatchSize < 1 {
		faults = append(faults, fmt.Errorf("batch size %d must be at least 1", o.BatchSize))
	}
	if o.Timeout < 0 {
		faults = append(faults, fmt.Errorf("timeout %s must be positive", o.Timeout))
	}
	if !(0 <= o.Duplicate && o.Duplicate <= 1) {
		faults = append(faults, fmt.Errorf("duplicate %g must be a fraction from 0 to 1", o.Duplicate))
	}
	return errors.Join(faults...)
}

// connectTimeout bounds the wait for the first connection.
const connectTimeout = 5 * time.Second

// connect returns a connection and what to do with it in the end.
func (o *Options) connect(ctx context.Context) (*nats.Conn, func(), error) {
	if o.Conn != nil {
		return o.Conn, func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(connectTimeout, o.Timeout))
	defer cancel()
	nc, err := broker.Connect(ctx, broker.ConnectConfig{URL: o.URL, Name: "energy publish", Options: o.NATS})
	if err != nil {
		return nil, nil, fmt.Errorf("%w; start one with energy up, or name another with --server", err)
	}
	return nc, nc.Close, nil
}

// Run publishes the files and returns when every message is acknowledged, or
// when that cannot be reached. The receipt is true in any case. Bad rows are left
// out; the error is then [ErrBadRows]. Readings are in the trace of ctx's span, if that is
// sampled.
func Run(ctx context.Context, o Options) (Receipt, error) {
	var receipt Receipt
	o.setDefaults()
	if err := o.check(); err != nil {
		return receipt, err
	}
	nc, disconnect, err := o.connect(ctx)
	if err != nil {
		return receipt, err
	}
	defer disconnect()
	start := time.Now()
	s, err := newSink(nc, &o)
	if err != nil {
		return receipt, err
	}
	feed, err := startFeed(ctx, &o)
	if err != nil {
		return receipt, err
	}
	r := &run{
		feed: feed, sink: s, receipt: &receipt,
		meter:   newMeter(o.Progress, isTerminal(o.Progress), feed.total),
		disturb: newDisturbance(o.Duplicate, o.Shuffle),
	}
	err = s.run(ctx, r.pump)
	feed.stop()
	s.addTo(&receipt)
	r.meter.finish(feed, receipt.Acknowledged)
	receipt.Duration = time.Since(start)
	if c := trace.SpanContextFromContext(ctx); c.IsSampled() {
		receipt.TraceID = c.TraceID().String()
	}
	return receipt, errors.Join(err, r.failed, receipt.badRows())
}

// run is one Run at work.
type run struct {
	feed    *feed
	sink    *sink
	disturb *disturbance
	meter   *meter
	receipt *Receipt
	held    []reading.Reading // that are handed over together
	failed  error             // a file could not be read on
}

// linger is how long a batch waits for more readings on standard input.
const linger = time.Second

// pump moves readings from the feed to the sink until either ends. What was read
// before a file failed is published.
func (r *run) pump(ctx context.Context) error {
	for {
		if len(r.feed.entries) == 0 && r.feed.live.Load() { // what is here must not wait for what is not
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-r.sink.failed:
			return err
		case e, ok := <-r.feed.entries:
			if !ok {
				return r.finish(ctx)
			}
			if e.failed != nil {
				r.failed = e.failed
			}
			if err := r.take(ctx, e); err != nil {
				return err
			}
		}
	}
}

// take handles one entry of the feed.
func (r *run) take(ctx context.Context, e entry) error {
	if !r.receipt.note(e) {
		return nil
	}
	return r.disturb.take(e.reading, func(rd reading.Reading) error { return r.send(ctx, rd) })
}

// together is how many readings are handed over at once: it spares a receipt for each.
const together = 256

// send hands readings over, many at once.
func (r *run) send(ctx context.Context, rd reading.Reading) error {
	r.held = append(r.held, rd)
	if len(r.held) < together {
		return nil
	}
	return r.flush(ctx)
}

// flush hands over what send has held back.
func (r *run) flush(ctx context.Context) error {
	if len(r.held) == 0 {
		return nil
	}
	r.meter.tick(r.feed, r.sink.producer.Stats().Stored)
	err := r.sink.publish(ctx, r.held)
	r.held = r.held[:0]
	return err
}

// finish publishes what is held back.
func (r *run) finish(ctx context.Context) error {
	err := r.disturb.flush(func(rd reading.Reading) error { return r.send(ctx, rd) })
	if err != nil {
		return err
	}
	return r.flush(ctx)
}

// patience is how long a batch waits for more readings. Only standard input can be
// slow; files are to give the same messages each time.
func (o *Options) patience() time.Duration {
	if slices.Contains(o.Files, source.Stdin) {
		return linger
	}
	return time.Hour
}
