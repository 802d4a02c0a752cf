package cleaner

import (
	"context"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Again is which readings of a partition an epoch judges again.
type Again struct {
	Selected func(metric string) bool
	// Mark is the sequence of the epoch's marker: all that stands before it.
	Mark uint64
	// Before is the end of the time in which the others were received.
	Before time.Time
	// Since tells of a sequence of the partition which epoch is the first that can have
	// refused what stands there without the quarantine being told if a later one, before
	// the newest, accepts it.
	Since func(sequence uint64) uint64
}

// Takes reports whether a row of a message is judged again, if its metric is selected.
func (a *Again) Takes(m *broker.Message, row *wire.BronzeRow) bool {
	return m.Sequence <= a.Mark || received(m, row) < a.Before.UnixNano()
}

// received returns when a row was received, in Unix ns: a release has the stamp of
// the reading that it releases, and comes when it is put into BRONZE.
func received(m *broker.Message, row *wire.BronzeRow) int64 {
	if row.Waived != nil {
		return m.Received.UnixNano()
	}
	return row.Stamp.Received
}

// Rejudger judges bronze of one partition again: what metrics' readings are
// under all epochs of the catalogue. It is used by one goroutine.
type Rejudger struct {
	again Again
	court court
}

// NewRejudger returns a rejudger of those readings. What it sends does not
// depend on what was sent before, so that it may run beside the cleaner, again,
// and by others at the same time.
func NewRejudger(partition int, epochs catalog.Epochs, again Again) *Rejudger {
	return &Rejudger{again: again, court: newCourt(epochs, newOutput(partition))}
}

// Rejudge returns the silver and quarantine messages of a batch of bronze: for
// each reading to be judged again its judgements under all epochs and, where the
// newest refuses it, the refusal; where that accepts what an earlier one may have put
// into quarantine, that it does. Out counts judgements, In readings. What cannot be
// decoded is left to the cleaner.
func (r *Rejudger) Rejudge(_ context.Context, messages []broker.Message) (stage.Output, error) {
	for i := range messages {
		m := &messages[i]
		batch, err := wire.DecodeBronze(m.Data)
		if err != nil {
			continue
		}
		hearings := make([]*silver.Hearing, len(batch.Series))
		for i, names := range batch.Series {
			if r.again.Selected(names.Metric) {
				hearings[i] = r.court.hearing(names)
			}
		}
		since := r.again.Since(m.Sequence)
		for row := range batch.Rows() {
			if h := hearings[row.Series]; h != nil && r.again.Takes(m, &row) {
				r.court.out.counts.In++
				r.court.out.counts.Out += r.court.hear(h, &row, since, batch.Again())
			}
		}
	}
	return r.court.out.take()
}

// court judges readings under all epochs of the catalogue.
type court struct {
	epochs   catalog.Epochs
	hearings map[reading.Series]*silver.Hearing
	out      *output
	all      []silver.Judgement // kept from reading to reading
}

func newCourt(epochs catalog.Epochs, out *output) court {
	return court{epochs: epochs, hearings: make(map[reading.Series]*silver.Hearing), out: out}
}

// hear sends on the judgements of a reading under all epochs, and returns how many
// they are. If the newest refuses it, the refusal is kept.
// The quarantine can have entries of it since that epoch. Again says that it has some,
// whether or not an epoch refuses it.
func (c *court) hear(h *silver.Hearing, row *wire.BronzeRow, since uint64, again bool) (judgements uint64) {
	var (
		newest silver.Judgement
		until  uint64
	)
	c.all, newest, until = h.Judge(c.all[:0], row.Reading, row.Stamp, row.Waived)
	for i := range c.all {
		c.out.send(&c.all[i])
	}
	switch {
	case !newest.Accepted():
		c.out.refuseJudged(&newest)
	case until > since || again:
		c.out.resolve(&newest, row.Waived)
	}
	return uint64(len(c.all))
}

// hearing returns the hearing of these names, made once while they keep coming.
func (c *court) hearing(names reading.Series) *silver.Hearing {
	if h, ok := c.hearings[names]; ok {
		return h
	}
	if len(c.hearings) >= maxBenches {
		clear(c.hearings)
	}
	h := silver.NewHearing(c.epochs, names.EntityID, names.Metric, names.Unit)
	if h.Newest().Fit() {
		c.hearings[names] = h
	}
	return h
}
