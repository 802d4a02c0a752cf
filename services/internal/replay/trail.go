package replay

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"

	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/refusal"
)

const (
	noteBytes      = 20  // of a note in the file
	notesABlock    = 256 // sorted; the index in memory has an entry for each block
	everyPartition = -1
	everyIndex     = math.MaxUint32 // stands for all readings of a message
	blockBytes     = noteBytes * notesABlock
)

// Trail is what a replay has read: which messages of the ingress streams it speaks for,
// of which readings it has read releases, and over which this build fails. So a rebuild
// replaces what it has read, and no other (invariant 22). A message is told by its
// sequence and its receive time, since a stream that lost its tail, or was made anew,
// gives sequences again.
//
// It is kept on disk, twenty bytes a note. It is safe for concurrent use. A nil Trail takes
// nothing in, and has nothing.
type Trail struct {
	mu     sync.Mutex
	file   *os.File
	end    int64
	parts  map[trailKey]*trailPart
	loaded trailBlock // the block that was looked into last
}

// kind is what a note says.
type kind byte

const (
	refined  kind = iota // the replay speaks for it
	released             // a release of it was read
	failed               // this build fails over it
)

// trailKey is a partition, −1 for readings of all, and an ingress stream.
type trailKey struct {
	kind
	partition int
	stream    uint32
}

type trailPart struct {
	recent []note       // not in the file yet
	blocks []trailBlock // in order of first once sorted
	sorted bool
}

// note is a reading, or all of a message.
type note struct {
	sequence uint64
	received int64
	index    uint32
}

func (m note) compare(n note) int {
	return cmp.Or(
		cmp.Compare(m.sequence, n.sequence), cmp.Compare(m.received, n.received), cmp.Compare(m.index, n.index),
	)
}

// trailBlock is a block of the file.
type trailBlock struct {
	first, last uint64 // sequences
	reach       uint64 // the greatest last up to here
	offset      int64
	notes       []note // of the loaded one
	size        int
}

// NewTrail makes a file in dir, the system's folder for temporary files if it is
// empty. Close removes it.
func NewTrail(dir string) (*Trail, error) {
	file, err := os.CreateTemp(dir, "energy-trail-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(file.Name()) // as in NewGathering
	return &Trail{file: file, parts: make(map[trailKey]*trailPart)}, nil
}

// Close removes the file.
func (t *Trail) Close() error {
	err := t.file.Close()
	if gone := os.Remove(t.file.Name()); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// addMessage notes the message that a reading came with, in whatever order.
func (t *Trail) addMessage(k kind, partition int, s reading.Stamp) error {
	s.Index = everyIndex
	return t.add(k, partition, s)
}

// add notes a reading, in whatever order.
func (t *Trail) add(k kind, partition int, s reading.Stamp) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := trailKey{k, partition, s.Stream}
	part := t.parts[key]
	if part == nil {
		part = new(trailPart)
		t.parts[key] = part
	}
	m := note{s.Sequence, s.Received, s.Index}
	if n := len(part.recent); n > 0 && part.recent[n-1] == m {
		return nil
	}
	if part.recent = append(part.recent, m); len(part.recent) < notesABlock {
		return nil
	}
	return t.store(part)
}

// store puts what is in memory of a part into the file.
func (t *Trail) store(part *trailPart) error {
	if len(part.recent) == 0 {
		return nil
	}
	slices.SortFunc(part.recent, note.compare)
	b := make([]byte, 0, blockBytes)
	for _, m := range part.recent {
		b = binary.LittleEndian.AppendUint64(b, m.sequence)
		b = binary.LittleEndian.AppendUint64(b, uint64(m.received))
		b = binary.LittleEndian.AppendUint32(b, m.index)
	}
	if _, err := t.file.WriteAt(b, t.end); err != nil {
		return fmt.Errorf("write down %d readings that were read: %w", len(part.recent), err)
	}
	part.blocks = append(part.blocks, trailBlock{
		first: part.recent[0].sequence, last: part.recent[len(part.recent)-1].sequence,
		offset: t.end, size: len(part.recent),
	})
	t.end += int64(len(b))
	part.recent, part.sorted = part.recent[:0], false
	return nil
}

// Has reports whether the replay speaks for a reading of a partition: whether its message
// was read, and this build does not fail over it.
func (t *Trail) Has(partition int, s reading.Stamp) (bool, error) {
	if has, err := t.holds(refined, partition, s); !has || err != nil {
		return false, err
	}
	fails, err := t.Failed(partition, s)
	return !fails, err
}

// Released reports whether a release of a reading was read.
func (t *Trail) Released(partition int, s reading.Stamp) (bool, error) {
	return t.holds(released, partition, s)
}

// Failed reports whether this build fails over a reading, or may: over a message of its
// partition of which it is not known what it holds.
func (t *Trail) Failed(partition int, s reading.Stamp) (bool, error) {
	if t != nil {
		t.mu.Lock()
		opaque := t.parts[trailKey{failed, partition, refusal.ForeignStream}] != nil
		t.mu.Unlock()
		if opaque {
			return true, nil
		}
	}
	return t.holds(failed, partition, s)
}

// holds looks for a reading, by itself or with its message.
func (t *Trail) holds(k kind, partition int, s reading.Stamp) (bool, error) {
	if t == nil {
		return false, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range [...]int{everyPartition, partition} {
		part := t.parts[trailKey{k, p, s.Stream}]
		if part == nil {
			continue
		}
		if has, err := t.has(part, note{s.Sequence, s.Received, s.Index}); has || err != nil {
			return has, err
		}
	}
	return false, nil
}

func (t *Trail) has(part *trailPart, m note) (bool, error) {
	if err := t.store(part); err != nil {
		return false, err
	}
	part.sort()
	n, _ := slices.BinarySearchFunc(part.blocks, m.sequence, func(b trailBlock, sequence uint64) int {
		if b.first <= sequence {
			return -1
		}
		return 1
	})
	// Blocks overlap where messages did not come in order.
	for n--; n >= 0 && part.blocks[n].reach >= m.sequence; n-- {
		if part.blocks[n].last < m.sequence {
			continue
		}
		notes, err := t.load(&part.blocks[n])
		if err != nil {
			return false, err
		}
		for _, one := range [...]note{m, {m.sequence, m.received, everyIndex}} {
			if _, found := slices.BinarySearchFunc(notes, one, note.compare); found {
				return true, nil
			}
		}
	}
	return false, nil
}

func (p *trailPart) sort() {
	if p.sorted {
		return
	}
	slices.SortFunc(p.blocks, func(a, b trailBlock) int { return cmp.Compare(a.first, b.first) })
	reach := uint64(0)
	for i := range p.blocks {
		reach = max(reach, p.blocks[i].last)
		p.blocks[i].reach = reach
	}
	p.sorted = true
}

// load returns the notes of a block.
func (t *Trail) load(b *trailBlock) ([]note, error) {
	if t.loaded.size > 0 && t.loaded.offset == b.offset {
		return t.loaded.notes, nil
	}
	var room [blockBytes]byte
	data := room[:b.size*noteBytes]
	if _, err := t.file.ReadAt(data, b.offset); err != nil {
		return nil, fmt.Errorf("look up readings that were read: %w", err)
	}
	notes := t.loaded.notes[:0]
	for ; len(data) > 0; data = data[noteBytes:] {
		notes = append(notes, note{
			sequence: binary.LittleEndian.Uint64(data), received: int64(binary.LittleEndian.Uint64(data[8:])),
			index: binary.LittleEndian.Uint32(data[16:]),
		})
	}
	t.loaded = trailBlock{offset: b.offset, size: b.size, notes: notes}
	return notes, nil
}
