package epochs

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
)

// History tells by which epochs of the catalogue readings are judged in the end:
// those received before an epoch's markers under all, the others under the newest
// alone (invariant 21).
//
// An epoch that is not applied yet has markers, or will have some behind all that is
// received by then. So what History says of a reading that was received before it was
// loaded stays right. Whether gold has these judgements already it cannot tell for
// readings of a metric that such an epoch judges otherwise, nor for those that BRONZE
// held no more when an epoch was applied: they are not settled.
type History struct {
	Epochs  catalog.Epochs
	Applied uint64 // the epoch applied last
	marks   map[uint64]broker.Marks
}

// LoadHistory reads the epochs that the broker has.
func LoadHistory(ctx context.Context, store *broker.Epochs) (*History, error) {
	h := new(History)
	kept, err := store.After(ctx, 0)
	if err != nil {
		return nil, err
	}
	for _, e := range kept {
		if h.Epochs, err = h.Epochs.Append(e.Activated, e.Document); err != nil {
			return nil, fmt.Errorf("this build does not understand catalogue epoch %d: %w", e.Number, err)
		}
	}
	if h.Epochs.Len() == 0 {
		return nil, fmt.Errorf("%w: the catalogue has no epoch; run energy migrate", broker.ErrNotProvisioned)
	}
	if err := h.load(ctx, store); err != nil {
		return nil, err
	}
	return h, nil
}

// load reads what has become of the epochs.
func (h *History) load(ctx context.Context, store *broker.Epochs) (err error) {
	h.marks = make(map[uint64]broker.Marks)
	// First: an epoch that is applied by then has its marks.
	if h.Applied, err = store.Applied(ctx); err != nil {
		return err
	}
	for number := uint64(1); number <= h.Epochs.Len(); number++ {
		marks, _, err := store.Marks(ctx, number)
		if err != nil {
			return err
		}
		if !marks.Behind.IsZero() {
			h.marks[number] = marks
		}
	}
	return nil
}

// Catalog returns the newest epoch.
func (h *History) Catalog() *catalog.Catalog { return h.Epochs.Newest() }

// ever is later than every receive time.
var ever = time.Unix(0, math.MaxInt64)

// HeardBefore returns before which receive time readings of a metric are judged
// under all epochs; the zero time when none are.
func (h *History) HeardBefore(metric string) time.Time {
	if _, marked := h.marks[h.Epochs.Len()]; h.pending(metric) && !marked {
		return ever // all that is there is before the markers that are to come
	}
	marks, _ := h.last(metric)
	return marks.Behind
}

// Settled reports whether it follows from a reading's receive time, in Unix ns, how
// it has been judged in the end.
func (h *History) Settled(metric string, received int64) bool {
	if h.pending(metric) {
		return false
	}
	marks, ok := h.last(metric)
	return !ok || marks.From.IsZero() || received >= marks.From.UnixNano()
}

// pending reports whether an epoch that judges a metric otherwise is not applied.
func (h *History) pending(metric string) bool {
	return h.Catalog().JudgedSince(metric, max(h.Applied, 1)) // nothing was judged before the first
}

// last returns the marks of the last epoch that readings of a metric were judged
// again under.
func (h *History) last(metric string) (m broker.Marks, ok bool) {
	for number := h.Epochs.Len(); number > 1; number-- {
		c, _ := h.Epochs.At(number)
		if m, ok = h.marks[number]; ok && c.JudgedSince(metric, m.Since) {
			return m, true
		}
	}
	return broker.Marks{}, false
}
