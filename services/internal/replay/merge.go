package replay

import (
	"bufio"
	"container/heap"
	"errors"
	"io"
	"slices"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
)

// merger reads the runs of a file as one, in order.
type merger []*cursor

// cursor is a run that is read.
type cursor struct {
	of    *Gathering
	in    *bufio.Reader
	kind  byte
	key   goldstore.RowKey
	group gold.Group
	// samples and stamps are the group's versions, encoded.
	samples, stamps []byte
}

// merge returns the groups of a file from a key on.
func (s *Gathering) merge(file int, from goldstore.RowKey) (*merger, error) {
	f := &s.files[file]
	m := new(merger)
	for _, steps := range f.runs {
		end := len(steps) - 1
		n, _ := slices.BinarySearchFunc(steps[:end], from, func(at step, key goldstore.RowKey) int {
			return at.key.Compare(key)
		})
		at := steps[max(n-1, 0)].at
		c := &cursor{of: s, in: bufio.NewReaderSize(io.NewSectionReader(f.File, at, steps[end].at-at), runStep)}
		for more := true; more; {
			var err error
			if more, err = c.read(); err != nil {
				return nil, err
			}
			if more && c.key.Compare(from) >= 0 {
				*m = append(*m, c)
				break
			}
		}
	}
	heap.Init(m)
	return m, nil
}

// next returns the next group, nil behind the last.
func (m *merger) next() (kind byte, group *gold.Group, key goldstore.RowKey, err error) {
	if len(*m) == 0 {
		return 0, nil, key, nil
	}
	c := (*m)[0]
	kind, key, group = c.kind, c.key, &gold.Group{Key: c.group.Key}
	if group.Versions, err = gold.Decode(group.Start, c.samples, c.stamps); err != nil {
		return kind, nil, key, err
	}
	more, err := c.read()
	if more {
		heap.Fix(m, 0)
	} else {
		heap.Pop(m)
	}
	return kind, group, key, err
}

var errDamaged = errors.New("a file of gathered versions ends in the middle")

// read reads the run's next group and reports whether there is one.
func (c *cursor) read() (more bool, err error) {
	if c.kind, err = c.in.ReadByte(); err != nil {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return false, err
	}
	f := fieldReader{in: c.in}
	place := f.uvarint()
	c.group.Key = gold.Key{Start: f.varint(), Width: f.duration()}
	c.samples, c.stamps = f.bytes(), f.bytes()
	if f.err != nil {
		return false, errors.Join(errDamaged, f.err)
	}
	c.group.Series = c.of.series[place]
	c.key = goldstore.RowKey{
		SeriesID: c.of.known[c.group.Series].id, Start: c.group.Start, Width: c.group.Width,
	}
	return true, nil
}

// Len, Less, Swap, Push and Pop are those of a heap.
func (m merger) Len() int           { return len(m) }
func (m merger) Less(i, j int) bool { return m[i].key.Compare(m[j].key) < 0 }
func (m merger) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }

// Push is not needed: no run comes later.
func (m *merger) Push(any) { panic("a run was added to a merge") }

// Pop drops the last run.
func (m *merger) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
