package goldstore

import (
	"github.com/energy-platform/energy/pkg/gold"
)

// Feed encodes a feed message of a flush: id is the outbox entry's, changes are
// in key order, at most 500. A flush with more has several messages. It is
// called inside the transaction, again when the flush is retried, and not at
// all when nothing changed.
type Feed func(id int64, changes []gold.Change) (subject string, payload []byte, err error)

// Flush is what one transaction stores.
type Flush struct {
	// Move is the position that covers the groups, nil for a batch run.
	Move *PositionMove
	// Groups are versions by row, in ascending key order, each normalized, as
	// gold.Collector gives them. Keys are in whole seconds, widths at most an
	// hour. The writer does not change the versions and keeps none of them. A
	// group without versions computes its row anew under the writer's
	// catalogue, where there is one.
	Groups []gold.Group
	// Cause is copied to the changes.
	Cause gold.Cause
	// Feed makes the message for the outbox; nil makes none.
	Feed Feed
	// Headers, if not nil, gives what goes with messages, such as a trace context. It is
	// called as Feed is, once what the flush does to rows is known.
	Headers func(*Result) map[string]string
	// Batch is how far a batch run is, moved along; nil for others.
	Batch *BatchMove
	// Replaced, if not nil, tells the stored versions that make way for the groups':
	// the flush rebuilds rows instead of merging into them, and removes those that it
	// leaves no versions. It then has its partition for itself. Its error is returned.
	Replaced func(*gold.Version) (bool, error)
}

// Result is what a flush did.
type Result struct {
	Inserted  int // rows
	Updated   int // rows
	Unchanged int // rows
	// Restated is the number of rows whose windows were closed before they changed.
	Restated int
	// Duplicates is the number of versions that were stored before.
	Duplicates int
	// Added is the number of versions that rows have got, Removed of those that they
	// have lost.
	Added, Removed int
	// Loaded is the number of rows that had to be read from the database.
	Loaded int
	// Retries is the number of times that the transaction was run again.
	Retries int
	// Changes are in key order.
	Changes []gold.Change
	// Outbox is the feed messages, none when nothing changed. They are to be
	// published, then deleted with DeleteOutbox.
	Outbox []OutboxEntry
}
