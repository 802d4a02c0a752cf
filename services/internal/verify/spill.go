package verify

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
)

// What gold must and may hold is gathered on disk, in files by ranges of the
// series' ids, since readings come in the order in which they were received: each
// file is then compared with the rows of its range, in parts that fit into memory.

const (
	bucketBits = 6
	buckets    = 1 << bucketBits
	bucketSpan = 1 << (63 - bucketBits) // ids in a bucket; an id has 63 bits
)

// Kinds of versions.
const (
	required = iota // gold must hold them
	optional        // gold may hold them
	kinds
)

// spill keeps groups of versions on disk.
type spill struct {
	dir    string
	series []reading.Series
	known  map[reading.Series]seriesRef
	files  [buckets]*os.File
	out    [buckets]*bufio.Writer
	buffer []byte
}

// seriesRef is a series' place in the list, and its id.
type seriesRef struct {
	place uint64
	id    int64
}

// newSpill makes a folder below dir, the system's for temporary files if dir is
// empty. Close removes it.
func newSpill(dir string) (*spill, error) {
	own, err := os.MkdirTemp(dir, "energy-verify-")
	if err != nil {
		return nil, err
	}
	s := &spill{dir: own, known: make(map[reading.Series]seriesRef)}
	for i := range s.files {
		s.files[i], err = os.Create(filepath.Join(own, fmt.Sprintf("%02x", i)))
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.out[i] = bufio.NewWriterSize(s.files[i], 32<<10)
	}
	return s, nil
}

// Close removes the folder.
func (s *spill) Close() error {
	var faults []error
	for _, f := range s.files {
		if f != nil {
			faults = append(faults, f.Close())
		}
	}
	return errors.Join(append(faults, os.RemoveAll(s.dir))...)
}

// ref returns the place of a series, which is given one at first.
func (s *spill) ref(series reading.Series) seriesRef {
	r, ok := s.known[series]
	if !ok {
		r = seriesRef{uint64(len(s.series)), goldstore.SeriesID(series)}
		s.series = append(s.series, series)
		s.known[series] = r
	}
	return r
}

// add appends groups of one kind.
func (s *spill) add(kind byte, groups []gold.Group) error {
	for i := range groups {
		g := &groups[i]
		r := s.ref(g.Series)
		for versions := range slices.Chunk(g.Versions, gold.MaxVersions) {
			b := binary.AppendUvarint(append(s.buffer[:0], kind), r.place)
			b = binary.AppendVarint(b, g.Start)
			b = binary.AppendVarint(b, int64(g.Width))
			samples := gold.AppendSamples(nil, g.Start, versions)
			stamps := gold.AppendStamps(nil, g.Start, versions)
			for _, column := range [][]byte{samples, stamps} {
				b = append(binary.AppendUvarint(b, uint64(len(column))), column...)
			}
			s.buffer = b
			if _, err := s.out[r.id/bucketSpan].Write(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// window is what gold must and may hold of one window.
type window struct {
	gold.Key
	versions [kinds][]gold.Version
}

// load returns the windows of a bucket with from ≤ key < to. When these have more
// versions than the limit it returns a key that divides them, unless they are of one
// window.
func (s *spill) load(bucket int, from, to goldstore.RowKey, limit int) (
	windows map[goldstore.RowKey]*window, middle goldstore.RowKey, err error,
) {
	if err := s.out[bucket].Flush(); err != nil {
		return nil, middle, err
	}
	in := bufio.NewReaderSize(io.NewSectionReader(s.files[bucket], 0, math.MaxInt64), 256<<10)
	windows = make(map[goldstore.RowKey]*window)
	for count := 0; ; {
		kind, key, group, err := s.read(in, from, to)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, middle, fmt.Errorf("read what was gathered in %s: %w", s.dir, err)
		}
		if group == nil {
			continue
		}
		w, ok := windows[key]
		if !ok {
			w = &window{Key: group.Key}
			windows[key] = w
		}
		w.versions[kind] = append(w.versions[kind], group.Versions...)
		if count += len(group.Versions); count > limit && len(windows) > 1 {
			return nil, middleOf(windows), nil
		}
	}
	for _, w := range windows {
		for kind := range w.versions {
			w.versions[kind] = gold.Normalize(w.versions[kind])
		}
	}
	return windows, middle, nil
}

// read reads the next group, nil when its key is not in the range.
func (s *spill) read(in *bufio.Reader, from, to goldstore.RowKey) (
	kind byte, key goldstore.RowKey, group *gold.Group, err error,
) {
	if kind, err = in.ReadByte(); err != nil {
		return kind, key, nil, err
	}
	var f fieldReader
	f.in = in
	group = &gold.Group{Key: gold.Key{Series: s.series[f.uvarint()], Start: f.varint(), Width: f.duration()}}
	key = goldstore.RowKey{SeriesID: s.known[group.Series].id, Start: group.Start, Width: group.Width}
	samples, stamps := f.bytes(), f.bytes()
	if f.err != nil {
		return kind, key, nil, errors.Join(errDamaged, f.err)
	}
	if before(key, from) || !before(key, to) {
		return kind, key, nil, nil
	}
	group.Versions, err = gold.Decode(group.Start, samples, stamps)
	return kind, key, group, err
}

var errDamaged = errors.New("a file of gathered versions ends in the middle")

// before reports whether a row stands before another by series and start.
func before(k, l goldstore.RowKey) bool {
	return k.SeriesID < l.SeriesID || k.SeriesID == l.SeriesID && k.Start < l.Start
}

// middleOf returns a key that divides windows, of which there are two at least.
func middleOf(windows map[goldstore.RowKey]*window) goldstore.RowKey {
	keys := make([]goldstore.RowKey, 0, len(windows))
	for k := range windows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(k, l goldstore.RowKey) int {
		switch {
		case before(k, l):
			return -1
		case before(l, k):
			return 1
		default:
			return 0
		}
	})
	middle := keys[len(keys)/2]
	middle.Width = 0
	return middle
}
