package tracing

import (
	"context"
	"net/textproto"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// parentHeader is the header of a context, as W3C Trace Context names it; httpHeader is
// what it becomes where it is taken for one of HTTP.
const (
	parentHeader = "traceparent"
	httpHeader   = "Traceparent"
)

// carrier is the headers of a message. nats.Header tells upper case from lower case:
// propagation.HeaderCarrier, made for HTTP, would write Traceparent, which nobody who
// looks for traceparent finds. What such producers wrote is read all the same.
type carrier nats.Header

// Get is of propagation.TextMapCarrier.
func (c carrier) Get(key string) string {
	if values := c[key]; len(values) > 0 {
		return values[0]
	}
	if values := c[textproto.CanonicalMIMEHeaderKey(key)]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Set is of propagation.TextMapCarrier.
func (c carrier) Set(key, value string) { c[key] = []string{value} }

// Keys is of propagation.TextMapCarrier.
func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}

// isTraced reports whether a message has a context, for less than Extract takes.
func isTraced(h nats.Header) bool {
	return len(h) > 0 && (len(h[parentHeader]) > 0 || len(h[httpHeader]) > 0)
}

// Inject writes the context of ctx's span, if there is one, into the headers of
// messages that have none.
func Inject(ctx context.Context, messages ...*nats.Msg) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	for _, m := range messages {
		if isTraced(m.Header) {
			continue
		}
		if m.Header == nil {
			m.Header = make(nats.Header, 2)
		}
		propagation.TraceContext{}.Inject(ctx, carrier(m.Header))
	}
}

// Extract returns the context in the headers of a message, one that is not valid when
// there is none.
func Extract(ctx context.Context, h nats.Header) trace.SpanContext {
	if !isTraced(h) {
		return trace.SpanContext{}
	}
	none := trace.ContextWithSpanContext(ctx, trace.SpanContext{}) // what is left of ctx when the header is wrong
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(none, carrier(h)))
}

// Headers returns the context of ctx's span as headers of a message, nil when there is
// none.
func Headers(ctx context.Context) map[string]string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return nil
	}
	headers := make(propagation.MapCarrier, 2)
	propagation.TraceContext{}.Inject(ctx, headers)
	return headers
}
