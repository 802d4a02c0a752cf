// Package tracing carries traces along with readings: from the headers of the messages
// that a batch is made of, through the batch's span, into the headers of the messages
// that it becomes.
//
// A batch is a span. When the messages of a batch belong to one trace, it is a child
// in that trace; when they belong to several, it begins a trace of its own and links to
// all of their contexts that are sampled. Messages without a context ride along.
//
// What happens seldom and is looked for later is always kept (Keep): whether or not a
// sampler chose a batch, from the moment that it is known to be notable on its span is
// recorded, as of its beginning, and what it does from there on is sampled. A batch
// that is neither chosen nor notable costs a few allocations, whatever its size.
package tracing
