package producer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
)

// Outcome is what became of one reading. If Err is nil it is stored: as reading
// Index of message Sequence of Stream, which together with the broker's receive time
// is its stamp in all layers.
type Outcome struct {
	Stream   string
	Sequence uint64
	Index    uint32
	Err      error
}

// Receipt tells what became of the readings of one Publish. Safe for concurrent use.
type Receipt struct {
	done chan struct{}

	mu    sync.Mutex
	open  int    // readings without an outcome
	parts []part // sorted once done
}

// part is a run of readings, from until to, with one outcome: Index counts on.
type part struct {
	from, to int
	Outcome
}

func newReceipt(readings int) *Receipt {
	r := &Receipt{done: make(chan struct{}), open: readings}
	if readings == 0 {
		close(r.done)
	}
	return r
}

// settle gives a run of readings its outcome.
func (r *Receipt) settle(from, to int, o Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts = append(r.parts, part{from: from, to: to, Outcome: o})
	if r.open -= to - from; r.open > 0 {
		return
	}
	slices.SortFunc(r.parts, func(a, b part) int { return cmp.Compare(a.from, b.from) })
	close(r.done)
}

// Done is closed when every reading has its outcome.
func (r *Receipt) Done() <-chan struct{} { return r.done }

// maxErrors bounds the causes that Wait spells out.
const maxErrors = 10

// Wait waits for every outcome and returns nil if all readings are stored, else what
// went wrong, each cause once and at most ten of them. When ctx ends first it returns an error that wraps
// [ErrPending] and ctx's; the readings are still under way.
func (r *Receipt) Wait(ctx context.Context) error {
	select {
	case <-r.done:
	default:
		select {
		case <-r.done:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrPending, ctx.Err())
		}
	}
	var errs []error
	for i := range r.parts {
		err := r.parts[i].Err
		if err == nil || slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
			continue
		}
		if len(errs) == maxErrors {
			return errors.Join(append(errs, errors.New("and more"))...)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Outcome returns what became of reading i of the call, [ErrPending] while some
// reading of the call has no outcome.
func (r *Receipt) Outcome(i int) Outcome {
	select {
	case <-r.done:
	default:
		return Outcome{Err: ErrPending}
	}
	at, found := slices.BinarySearchFunc(r.parts, i, func(p part, i int) int { return cmp.Compare(p.from, i) })
	if !found {
		at--
	}
	return r.parts[at].of(i)
}

// Outcomes yields the outcomes of all readings of the call in their order; nothing
// before Done.
func (r *Receipt) Outcomes() iter.Seq2[int, Outcome] {
	return func(yield func(int, Outcome) bool) {
		select {
		case <-r.done:
		default:
			return
		}
		for k := range r.parts {
			for i := r.parts[k].from; i < r.parts[k].to; i++ {
				if !yield(i, r.parts[k].of(i)) {
					return
				}
			}
		}
	}
}

func (p *part) of(i int) Outcome {
	o := p.Outcome
	if o.Err == nil {
		o.Index += uint32(i - p.from)
	}
	return o
}
