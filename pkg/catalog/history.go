package catalog

// History is when the epochs of a catalogue came into force. The zero History
// knows of none. Of an epoch that it does not know, and of the first that it
// does, it says that they were in force from the beginning: before the first
// one nobody could have known another.
type History struct {
	since map[uint64]int64
	first uint64
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
	}
	return h
}

// Since returns when an epoch came into force, in Unix ns, 0 for one that was
// from the beginning.
func (h History) Since(epoch uint64) int64 {
	if epoch <= h.first {
		return 0
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
