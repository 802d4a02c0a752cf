package cleaner

import (
	"context"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/refusal"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Replayer judges bronze of one partition as it has been judged in the end, once
// the epochs were applied: readings that an epoch has judged again under all
// epochs, the others under the newest. Which they are follows from when they were
// received (invariant 21). It is used by one goroutine.
type Replayer struct {
	heardBefore func(metric string) time.Time
	court       court
}

// NewReplayer returns a replayer. Readings of a metric that were received before
// heardBefore tells were judged again.
func NewReplayer(partition int, epochs catalog.Epochs, heardBefore func(metric string) time.Time) *Replayer {
	return &Replayer{heardBefore: heardBefore, court: newCourt(epochs, newOutput(partition))}
}

// Replay returns the silver and quarantine messages of a batch of bronze. Counts are
// as the cleaner's, but that Out counts judgements.
func (r *Replayer) Replay(_ context.Context, messages []broker.Message) (stage.Output, error) {
	for i := range messages {
		r.message(&messages[i])
	}
	return r.court.out.take()
}

func (r *Replayer) message(m *broker.Message) {
	out := r.court.out
	batch, err := wire.DecodeBronze(m.Data)
	if err != nil {
		out.counts.In++
		out.refuse(reading.Undecodable, 0, refusal.Foreign(m, err))
		return
	}
	hearings, before := make([]*silver.Hearing, len(batch.Series)), make([]int64, len(batch.Series))
	for i, names := range batch.Series {
		hearings[i], before[i] = r.court.hearing(names), nanos(r.heardBefore(names.Metric))
	}
	for row := range batch.Rows() {
		h := hearings[row.Series]
		if received(m, &row) < before[row.Series] {
			r.court.hearAll(h, &row, 0, false) // its entry is resolved, if it has one
			continue
		}
		out.counts.In++
		judgement := h.Newest().Judge(row.Reading, row.Stamp, row.Waived)
		if judgement.Accepted() {
			out.pass(&judgement)
		} else {
			out.refuseJudged(&judgement)
		}
	}
}

// nanos returns a time in Unix ns; the zero time is before all that are received.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
