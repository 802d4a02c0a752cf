package catalog

import "math"

// History is when the epochs of a catalogue came into force. Of the first that it
// knows, and of those before, it says that they were from the beginning: before
// the first one nobody could have known another. Of those behind the last that it
// knows it says that they are not yet. The zero History knows of none, and takes
// all for from the beginning.
type History struct {
	since       map[uint64]int64
	first, last uint64
}

// NewHistory returns the history of epochs that were activated at those times,
// in Unix ns by number.
func NewHistory(activated map[uint64]int64) History {
	h := History{since: make(map[uint64]int64, len(activated))}
	for epoch, at := range activated {
		h.since[epoch] = at
		if h.first == 0 || epoch < h.first {
			h.first = epoch
		}
		h.last = max(h.last, epoch)
	}
	return h
}

// Since returns when an epoch came into force, in Unix ns: 0 for one that was from
// the beginning, the greatest time of all for one that is not yet.
func (h History) Since(epoch uint64) int64 {
	switch {
	case epoch <= h.first, h.last == 0:
		return 0
	case epoch > h.last:
		return math.MaxInt64
	}
	return h.since[epoch]
}

// History returns when the catalogue's epoch and those before it came into
// force.
func (c *Catalog) History() History { return c.history }

// WithHistory returns the catalogue with that history.
func (c *Catalog) WithHistory(h History) *Catalog {
	out := *c
	out.history = h
	return &out
}
