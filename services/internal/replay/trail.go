package replay

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/energy-platform/energy/pkg/reading"
)

const (
	messageBytes    = 16  // of a message in the file
	messagesABlock  = 256 // sorted; the index in memory has an entry for each block
	everyPartition  = -1
	blockEntryBytes = messageBytes * messagesABlock
)

// Trail is which messages of the ingress streams a replay has read, and could refine:
// those whose readings it speaks for. A message is told by its sequence and its receive time,
// since a stream that lost its tail, or was made anew, gives sequences again.
//
// It is kept on disk, sixteen bytes a message. It is safe for concurrent use.
type Trail struct {
	mu     sync.Mutex
	file   *os.File
	end    int64
	parts  map[trailKey]*trailPart
	loaded trailBlock // the block that was looked into last
}

// trailKey is a partition, −1 for readings of all, and an ingress stream.
type trailKey struct {
	partition int
	stream    uint32
}

type trailPart struct {
	recent []trailMessage // not in the file yet
	blocks []trailBlock   // in order of first once sorted
	sorted bool
}

type trailMessage struct {
	sequence uint64
	received int64
}

func (m trailMessage) compare(n trailMessage) int {
	return cmp.Or(cmp.Compare(m.sequence, n.sequence), cmp.Compare(m.received, n.received))
}

// trailBlock is a block of the file.
type trailBlock struct {
	first, last uint64 // sequences
	reach       uint64 // the greatest last up to here
	offset      int64
	messages    []trailMessage // of the loaded one
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

// add notes the message that a reading came with, in whatever order.
func (t *Trail) add(partition int, s reading.Stamp) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := trailKey{partition, s.Stream}
	part := t.parts[key]
	if part == nil {
		part = new(trailPart)
		t.parts[key] = part
	}
	m := trailMessage{s.Sequence, s.Received}
	if n := len(part.recent); n > 0 && part.recent[n-1] == m {
		return nil
	}
	if part.recent = append(part.recent, m); len(part.recent) < messagesABlock {
		return nil
	}
	return t.store(part)
}

// store puts what is in memory of a part into the file.
func (t *Trail) store(part *trailPart) error {
	if len(part.recent) == 0 {
		return nil
	}
	slices.SortFunc(part.recent, trailMessage.compare)
	b := make([]byte, 0, blockEntryBytes)
	for _, m := range part.recent {
		b = binary.LittleEndian.AppendUint64(b, m.sequence)
		b = binary.LittleEndian.AppendUint64(b, uint64(m.received))
	}
	if _, err := t.file.WriteAt(b, t.end); err != nil {
		return fmt.Errorf("note %d messages that were read: %w", len(part.recent), err)
	}
	part.blocks = append(part.blocks, trailBlock{
		first: part.recent[0].sequence, last: part.recent[len(part.recent)-1].sequence,
		offset: t.end, size: len(part.recent),
	})
	t.end += int64(len(b))
	part.recent, part.sorted = part.recent[:0], false
	return nil
}

// Has reports whether the message of a stamp was read, of a partition if readings
// were read by partition.
func (t *Trail) Has(partition int, s reading.Stamp) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range [...]int{everyPartition, partition} {
		part := t.parts[trailKey{p, s.Stream}]
		if part == nil {
			continue
		}
		if has, err := t.has(part, trailMessage{s.Sequence, s.Received}); has || err != nil {
			return has, err
		}
	}
	return false, nil
}

func (t *Trail) has(part *trailPart, m trailMessage) (bool, error) {
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
		messages, err := t.load(&part.blocks[n])
		if err != nil {
			return false, err
		}
		if _, found := slices.BinarySearchFunc(messages, m, trailMessage.compare); found {
			return true, nil
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

// load returns the messages of a block.
func (t *Trail) load(b *trailBlock) ([]trailMessage, error) {
	if t.loaded.size > 0 && t.loaded.offset == b.offset {
		return t.loaded.messages, nil
	}
	var room [blockEntryBytes]byte
	data := room[:b.size*messageBytes]
	if _, err := t.file.ReadAt(data, b.offset); err != nil {
		return nil, fmt.Errorf("look up messages that were read: %w", err)
	}
	messages := t.loaded.messages[:0]
	for ; len(data) > 0; data = data[messageBytes:] {
		messages = append(messages, trailMessage{
			sequence: binary.LittleEndian.Uint64(data), received: int64(binary.LittleEndian.Uint64(data[8:])),
		})
	}
	t.loaded = trailBlock{offset: b.offset, size: b.size, messages: messages}
	return messages, nil
}
