package cleaner

import (
	"context"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Rejudger judges bronze of one partition again: what metrics' readings are
// under all epochs of the catalogue. It is used by one goroutine.
type Rejudger struct {
	epochs   catalog.Epochs
	selected func(metric string) bool
	since    func(sequence uint64) uint64
	hearings map[reading.Series]*silver.Hearing
	out      output
	all      []silver.Judgement // kept from reading to reading
}

// NewRejudger returns a rejudger of the selected metrics. What it sends does not
// depend on what was sent before, so that it may run beside the cleaner, again,
// and by others at the same time.
//
// Since tells of a sequence of the partition which epoch is the first that can have
// refused what stands there without the quarantine being told if a later one, before
// the newest, accepts it.
func NewRejudger(
	partition int, epochs catalog.Epochs, selected func(metric string) bool, since func(sequence uint64) uint64,
) *Rejudger {
	return &Rejudger{
		epochs: epochs, selected: selected, since: since,
		hearings: make(map[reading.Series]*silver.Hearing), out: newOutput(partition),
	}
}

// Rejudge returns the silver and quarantine messages of a batch of bronze: for
// each selected reading its judgements under all epochs and, where the newest
// refuses it, the refusal; where that accepts what an earlier one may have put into
// quarantine, that it does. Out counts judgements, In readings. What cannot be decoded is left to the
// cleaner.
func (r *Rejudger) Rejudge(_ context.Context, messages []broker.Message) (stage.Output, error) {
	for i := range messages {
		batch, err := wire.DecodeBronze(messages[i].Data)
		if err != nil {
			continue
		}
		hearings := make([]*silver.Hearing, len(batch.Series))
		for i, names := range batch.Series {
			if r.selected(names.Metric) {
				hearings[i] = r.hearing(names)
			}
		}
		since := r.since(messages[i].Sequence)
		for row := range batch.Rows() {
			if h := hearings[row.Series]; h != nil {
				r.row(h, &row, since, batch.Again())
			}
		}
	}
	return r.out.take()
}

// row judges a reading again, of which the quarantine can have entries since that
// epoch. Again says that it has some, whether or not an epoch refuses it.
func (r *Rejudger) row(h *silver.Hearing, row *wire.BronzeRow, since uint64, again bool) {
	r.out.counts.In++
	var (
		newest silver.Judgement
		until  uint64
	)
	r.all, newest, until = h.Judge(r.all[:0], row.Reading, row.Stamp, row.Waived)
	for i := range r.all {
		r.out.pass(&r.all[i])
	}
	switch {
	case !newest.Accepted():
		r.out.refuseJudged(&newest)
	case until > since || again:
		r.out.resolve(&newest, row.Waived)
	}
}

// hearing returns the hearing of these names, made once while they keep coming.
func (r *Rejudger) hearing(names reading.Series) *silver.Hearing {
	if h, ok := r.hearings[names]; ok {
		return h
	}
	if len(r.hearings) >= maxBenches {
		clear(r.hearings)
	}
	h := silver.NewHearing(r.epochs, names.EntityID, names.Metric, names.Unit)
	if h.Newest().Fit() {
		r.hearings[names] = h
	}
	return h
}
