// Package producer publishes readings from an application to the platform and
// tells truthfully what became of each (invariant 16).
//
//	p, err := producer.New(js, producer.Options{Subject: "readings.site-7"})
//	go p.Run(ctx)
//	err = p.Publish(ctx, r).Wait(ctx) // nil: stored
//
// What it promises:
//
//   - A reading counts as stored only when JetStream has acknowledged the message
//     that holds it; its [Outcome] then says where. From there on the platform
//     answers for it: it ends in gold or in quarantine.
//   - Every other reading has an error. It is certainly not stored, unless the error
//     is [ErrUnconfirmed]: then nobody said. While Run runs, each has its outcome
//     after Options.Linger, Options.Timeout and one attempt (5 s).
//   - What the platform would refuse for certain (no entity, a value that is not
//     finite, …) is not sent: the outcome is a *[ReadingError] at once, and its
//     neighbours are published all the same.
//   - Memory is bounded by Options.Buffer. When it is full, because the broker is
//     away or READINGS is full, Publish waits, until its context ends.
//
// A message without an answer is sent again, so a reading may be stored twice. That
// changes nothing: the platform merges equal readings. For the same reason an
// application may publish again whatever it is not sure of. Only where it sends
// different contents for one entity, metric, time and quality must it number them by
// Revision, since a message that is sent again arrives behind its successors.
//
// Readings leave in batches, in the order of Publish. The connection is the
// application's: the one of broker.Connect comes back by itself and buffers nothing,
// which this package does better.
package producer
