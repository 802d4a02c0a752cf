package epochs

import (
	"context"
	"fmt"
	"math"

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

// Only returns the history of a catalogue before which there was none.
func Only(c *catalog.Catalog) *History {
	return &History{Epochs: catalog.EpochsOf(c), Applied: c.Epoch()}
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
			return nil, fmt.Errorf("%w %d: %w", errNotUnderstood, e.Number, err)
		}
	}
	if h.Epochs.Len() == 0 {
		return nil, fmt.Errorf("%w: the catalogue has no epoch; run energy migrate", broker.ErrNotProvisioned)
	}
	if err := h.load(ctx, store, new(History)); err != nil {
		return nil, err
	}
	return h, nil
}

// load reads what has become of the epochs since an earlier history, which has the marks
// of those among its epochs that it calls applied: they change no more.
func (h *History) load(ctx context.Context, store *broker.Epochs, earlier *History) (err error) {
	h.marks = make(map[uint64]broker.Marks)
	// First: an epoch that is applied by then has its marks.
	if h.Applied, err = store.Applied(ctx); err != nil {
		return err
	}
	for number := uint64(1); number <= h.Epochs.Len(); number++ {
		if number <= min(earlier.Applied, earlier.Epochs.Len()) {
			if marks, ok := earlier.marks[number]; ok {
				h.marks[number] = marks
			}
			continue
		}
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

// Known returns the history: it judges as if no epoch came behind those that it has.
func (h *History) Known(context.Context, uint64) (*History, error) { return h, nil }

// Renew does nothing: no epoch comes.
func (*History) Renew(context.Context) error { return nil }

// settled reports whether the history changes no more but for epochs that are to come.
func (h *History) settled() bool { return max(h.Applied, 1) >= h.Epochs.Len() }

// HeardBefore is the rule by which epochs a reading is judged: of a metric under all if it
// was received before that time, in Unix ns, else under the newest alone. It is 0 where
// none are judged under all.
func (h *History) HeardBefore(metric string) int64 {
	if _, marked := h.marks[h.Epochs.Len()]; h.pending(metric) && !marked {
		return math.MaxInt64 // all that is there is before the markers that are to come
	}
	marks, ok := h.last(metric)
	if !ok {
		return 0
	}
	return marks.Behind.UnixNano()
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
