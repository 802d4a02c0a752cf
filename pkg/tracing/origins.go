package tracing

import (
	"context"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"
)

// Origins are the contexts that the messages of a batch came with, each once. The zero
// value has none.
type Origins struct {
	sampled contexts
	others  contexts
}

// contexts are contexts without repetition, in the order in which they were added.
type contexts struct {
	all   []trace.SpanContext
	known map[identity]struct{} // nil while there are few
	many  bool                  // they are of more than one trace
}

type identity struct {
	trace trace.TraceID
	span  trace.SpanID
}

// few is how many contexts are looked through one by one.
const few = 8

// Add takes in the context of a message, if it has one.
func (o *Origins) Add(ctx context.Context, h nats.Header) { o.add(Extract(ctx, h)) }

func (o *Origins) add(c trace.SpanContext) {
	switch {
	case c.IsSampled():
		o.sampled.add(c)
	case c.IsValid():
		o.others.add(c)
	}
}

// parent returns the context that the batch is a child of, and those that it links to.
// Where there are sampled contexts the others do not matter: nobody will see them.
func (o *Origins) parent() (parent trace.SpanContext, links []trace.Link) {
	if len(o.sampled.all) == 0 {
		if len(o.others.all) > 0 && !o.others.many {
			parent = o.others.all[0]
		}
		return parent, nil
	}
	rest := o.sampled.all
	if !o.sampled.many {
		parent, rest = rest[0], rest[1:]
	}
	if len(rest) == 0 {
		return parent, nil
	}
	links = make([]trace.Link, len(rest))
	for i, c := range rest {
		links[i].SpanContext = c
	}
	return parent, links
}

func (c *contexts) add(one trace.SpanContext) {
	id := identity{one.TraceID(), one.SpanID()}
	if c.known == nil {
		for i := range c.all {
			if (identity{c.all[i].TraceID(), c.all[i].SpanID()}) == id {
				return
			}
		}
		if len(c.all) == few {
			c.known = make(map[identity]struct{})
			for i := range c.all {
				c.known[identity{c.all[i].TraceID(), c.all[i].SpanID()}] = struct{}{}
			}
		}
	}
	if c.known != nil {
		if _, known := c.known[id]; known {
			return
		}
		c.known[id] = struct{}{}
	}
	c.many = c.many || len(c.all) > 0 && c.all[0].TraceID() != id.trace
	c.all = append(c.all, one)
}
