package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// What the queue and one export hold besides a number of spans: one span of a batch can
// have thousands of links. Collectors take messages of 4 MiB unless told otherwise.
const (
	maxQueueBytes  = 16 << 20
	maxExportBytes = 2 << 20

	spanBytes = 1 << 10 // about, with its attributes
	partBytes = 1 << 7  // of a link or an event
)

// tellEvery is how often it is told that spans are lost, while they are.
const tellEvery = time.Minute

// limits bound a queue.
type limits struct {
	spans, batch   int
	delay, timeout time.Duration
}

// queue is a span processor that exports in the background. It does what the SDK's own
// does and, besides, bounds bytes, and tells what is lost.
type queue struct {
	limits
	exporter sdktrace.SpanExporter
	log      *slog.Logger
	wake     chan struct{} // a batch is full, or it is closed
	flushes  chan chan struct{}
	ended    chan struct{} // the exporting goroutine is
	abandon  context.CancelFunc

	mu      sync.Mutex
	waiting []sdktrace.ReadOnlySpan
	bytes   int
	closed  bool
	stats   Stats
	trouble error // of the last export
	told    Stats
	toldAt  time.Time // zero: nothing is wrong
}

// newQueue returns a queue at work, until Shutdown.
func newQueue(ctx context.Context, exporter sdktrace.SpanExporter, l limits, log *slog.Logger) *queue {
	ctx, abandon := context.WithCancel(context.WithoutCancel(ctx))
	q := &queue{
		limits: l, exporter: exporter, log: log, abandon: abandon, wake: make(chan struct{}, 1),
		flushes: make(chan chan struct{}), ended: make(chan struct{}),
	}
	go q.run(ctx)
	return q
}

// OnStart is of sdktrace.SpanProcessor.
func (q *queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd takes in a span, or drops it when there is no room. It does not block.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	size := sizeOf(s)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.waiting) >= q.spans || len(q.waiting) > 0 && q.bytes+size > maxQueueBytes {
		q.stats.Dropped++
		return
	}
	q.waiting = append(q.waiting, s)
	q.bytes += size
	if len(q.waiting) >= q.batch || q.bytes >= maxExportBytes {
		q.signal()
	}
}

func sizeOf(s sdktrace.ReadOnlySpan) int {
	return spanBytes + partBytes*(len(s.Links())+len(s.Events()))
}

// signal wakes the exporting goroutine. A signal that waits is as good as two.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run exports until the queue is closed and empty, or ctx ends.
func (q *queue) run(ctx context.Context) {
	defer close(q.ended)
	timer := time.NewTimer(q.delay)
	defer timer.Stop()
	for {
		var flushed chan struct{}
		select {
		case <-q.wake:
		case <-timer.C:
		case flushed = <-q.flushes:
		case <-ctx.Done():
		}
		for q.export(ctx) {
		}
		q.tell(ctx)
		if flushed != nil {
			close(flushed)
		}
		if q.isClosed() {
			return
		}
		timer.Reset(q.delay)
	}
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// export sends one batch, and reports whether there was one. Once ctx has ended it
// gives up what is left.
func (q *queue) export(ctx context.Context) bool {
	batch := q.take()
	if len(batch) == 0 {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	err := limited.Err()
	if err == nil {
		err = q.exporter.ExportSpans(limited, batch)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.trouble = err; err != nil {
		q.stats.Failed += uint64(len(batch))
	} else {
		q.stats.Exported += uint64(len(batch))
	}
	return true
}

// take returns the oldest spans, as many as are exported at once.
func (q *queue) take() []sdktrace.ReadOnlySpan {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, 0
	for ; n < min(len(q.waiting), q.batch); n++ {
		size := sizeOf(q.waiting[n])
		if n > 0 && bytes+size > maxExportBytes {
			break
		}
		bytes += size
	}
	batch := append([]sdktrace.ReadOnlySpan(nil), q.waiting[:n]...)
	rest := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
	q.bytes -= bytes
	return batch
}

// tell says in the log that spans are lost, and that they are not any more.
func (q *queue) tell(ctx context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lost := q.stats.Lost() - q.told.Lost()
	switch {
	case lost > 0 && (q.closed || time.Since(q.toldAt) >= tellEvery):
		q.log.WarnContext(ctx, "traces are lost", "spans", lost, "dropped", q.stats.Dropped-q.told.Dropped,
			"failed", q.stats.Failed-q.told.Failed, "error", q.trouble)
		q.told, q.toldAt = q.stats, time.Now()
	case lost == 0 && q.trouble == nil && !q.toldAt.IsZero() && q.stats.Exported > q.told.Exported:
		q.log.InfoContext(ctx, "traces are exported again", "lost", q.stats.Lost())
		q.toldAt = time.Time{}
	}
}

func (q *queue) read() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stats
}

// ForceFlush exports what waits now.
func (q *queue) ForceFlush(ctx context.Context) error {
	flushed := make(chan struct{})
	select {
	case q.flushes <- flushed:
	case <-q.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-flushed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Shutdown exports what waits, until ctx ends: what is left then is lost.
func (q *queue) Shutdown(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
	stop := context.AfterFunc(ctx, q.abandon)
	defer stop()
	<-q.ended // it ends soon after ctx: an export in hand is given up
	q.abandon()
	return q.exporter.Shutdown(ctx)
}
