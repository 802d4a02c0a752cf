package producer

import (
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/reading"
)

const (
	frame    = 16 // brackets and comma, or tag and length
	overhead = 64 // of a reading besides its bytes, in the budget
	headers  = 1 << 10
)

// batch is a message: being filled, then sent until it has an outcome.
type batch struct {
	limit    int // bytes of payload
	payload  []byte
	readings int
	held     int // bytes of the budget
	spans    []span
	from     trace.SpanContext // of the readings that are traced; not valid: none is
	due      time.Time         // when the linger ends
	sealed   time.Time

	done chan struct{}
	err  error // of the outcome; once done is closed
}

// span is a run of readings of one Publish in a batch.
type span struct {
	receipt     *Receipt
	from, to    int    // readings of the call
	firstInside uint32 // index in the message of the first
}

// encode writes a reading.
func (o *Options) encode(b []byte, r *reading.Reading) []byte {
	if o.Format == JSON {
		return bronze.AppendJSON(b, r)
	}
	return bronze.AppendProtobuf(b, r)
}

// fits reports whether another encoded reading does, into the message, into what one
// batch may hold of the budget, and into its trace: a message has one context.
func (b *batch) fits(one []byte, most int, from trace.SpanContext) bool {
	if from.IsValid() && b.from.IsValid() && (from.TraceID() != b.from.TraceID() || from.SpanID() != b.from.SpanID()) {
		return false
	}
	return len(b.payload)+len(one)+frame <= b.limit && b.held+len(one)+overhead <= most
}

// add appends reading i of a call, which takes held bytes of the budget.
func (b *batch) add(o *Options, one []byte, receipt *Receipt, i int) {
	switch {
	case o.MaxReadings == 1:
	case o.Format == Protobuf:
		b.payload = protowire.AppendTag(b.payload, 1, protowire.BytesType)
		b.payload = protowire.AppendVarint(b.payload, uint64(len(one)))
	case b.readings == 0:
		b.payload = append(b.payload, '[')
	default:
		b.payload = append(b.payload, ',')
	}
	b.payload = append(b.payload, one...)
	if n := len(b.spans); n > 0 && b.spans[n-1].receipt == receipt && b.spans[n-1].to == i {
		b.spans[n-1].to++
	} else {
		b.spans = append(b.spans, span{receipt: receipt, from: i, to: i + 1, firstInside: uint32(b.readings)})
	}
	b.readings++
	b.held += len(one) + overhead
}

// message returns the message of a batch that is full.
func (b *batch) message(o *Options) *nats.Msg {
	m := nats.NewMsg(o.Subject)
	kind := bronze.TypeJSON
	switch {
	case o.Format == Protobuf && o.MaxReadings == 1:
		kind = bronze.TypeProtobuf
	case o.Format == Protobuf:
		kind = bronze.TypeProtobufBatch
	case o.MaxReadings > 1:
		b.payload = append(b.payload, ']')
	}
	m.Header["Content-Type"] = []string{kind}
	m.Data = b.payload
	return m
}

// settle tells every receipt the outcome of the message.
func (b *batch) settle(o Outcome) {
	for _, s := range b.spans {
		own := o
		if o.Err == nil {
			own.Index = s.firstInside
		}
		s.receipt.settle(s.from, s.to, own)
	}
	b.err, b.payload, b.spans = o.Err, nil, nil
	close(b.done)
}
