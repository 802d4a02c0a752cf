package fleet

import (
	"cmp"
	"slices"
)

// sliceReadings is about how many readings are taken in a slice of time.
const sliceReadings = 1 << 16

// queue puts the sends of all series into the order of their arrival, slice by
// slice of time. No send arrives before its reading is taken, so that a slice is
// complete as soon as all readings of its time are.
type queue struct {
	f           *Fleet
	walkers     []walker
	width       int64            // of a slice, ms
	slice, last int64            // the next one, and the last in which readings are taken
	pending     map[int64][]send // by slice of arrival
	spent       []send           // memory of the slice before
}

func newQueue(f *Fleet) *queue {
	q := &queue{
		f:       f,
		walkers: make([]walker, len(f.series)),
		width:   f.cadence * max(1, sliceReadings/int64(len(f.series))),
		pending: make(map[int64][]send),
	}
	q.last = f.slots * f.cadence / q.width
	for i := range q.walkers {
		q.walkers[i] = f.walker(i)
	}
	return q
}

// more reports whether a slice is left.
func (q *queue) more() bool { return q.slice <= q.last || len(q.pending) > 0 }

// next returns the sends that arrive in the next slice, until the next call.
func (q *queue) next() []send {
	if q.pending[q.slice] == nil {
		q.pending[q.slice] = q.spent[:0]
	}
	for i := range q.walkers {
		q.walk(&q.walkers[i])
	}
	due := q.pending[q.slice]
	delete(q.pending, q.slice)
	slices.SortFunc(due, func(a, b send) int {
		if a.arrival != b.arrival { // nearly always
			return cmp.Compare(a.arrival, b.arrival)
		}
		return cmp.Or(cmp.Compare(a.series, b.series), cmp.Compare(a.order, b.order))
	})
	q.slice++
	q.spent = due
	return due
}

// walk takes the readings of the slice's time.
func (q *queue) walk(w *walker) {
	end := q.f.start + (q.slice+1)*q.width
	for w.more() && w.tick() < end {
		w.next()
		for i := range w.sends {
			at := (w.sends[i].arrival - q.f.start) / q.width
			q.pending[at] = append(q.pending[at], w.sends[i])
		}
	}
}
