package replay

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
	"strconv"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
)

// Kinds of versions that a Gathering keeps apart.
const kinds = 2

// Gathering keeps versions on disk until all of a replay are there: readings come in
// the order in which they were received, gold is worked through by rows. Its files
// hold some 20 bytes a version and are loaded in parts that fit into memory.
type Gathering struct {
	dir    string
	of     func(reading.Series) int
	series []reading.Series
	known  map[reading.Series]seriesRef
	files  []*os.File
	out    []*bufio.Writer
	buffer []byte
}

// seriesRef is a series' place in the list, its id and its file.
type seriesRef struct {
	place uint64
	id    int64
	file  int
}

// NewGathering makes a folder below dir, the system's for temporary files if dir is
// empty, with so many files; of tells which one a series goes to. Close removes it.
func NewGathering(dir string, files int, of func(reading.Series) int) (*Gathering, error) {
	own, err := os.MkdirTemp(dir, "energy-replay-")
	if err != nil {
		return nil, err
	}
	s := &Gathering{
		dir: own, of: of, known: make(map[reading.Series]seriesRef),
		files: make([]*os.File, files), out: make([]*bufio.Writer, files),
	}
	for i := range s.files {
		s.files[i], err = os.Create(filepath.Join(own, strconv.Itoa(i)))
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.out[i] = bufio.NewWriterSize(s.files[i], 32<<10)
	}
	// Where open files may be removed, one that is killed leaves none; elsewhere Close
	// removes them.
	_ = os.RemoveAll(own)
	return s, nil
}

// Close removes the folder.
func (s *Gathering) Close() error {
	var faults []error
	for _, f := range s.files {
		if f != nil {
			faults = append(faults, f.Close())
		}
	}
	return errors.Join(append(faults, os.RemoveAll(s.dir))...)
}

// ref returns the place of a series, which is given one at first.
func (s *Gathering) ref(series reading.Series) seriesRef {
	r, ok := s.known[series]
	if !ok {
		r = seriesRef{uint64(len(s.series)), goldstore.SeriesID(series), s.of(series)}
		s.series = append(s.series, series)
		s.known[series] = r
	}
	return r
}

// Add appends groups of a kind, 0 or 1. One without versions names a window.
func (s *Gathering) Add(kind byte, groups []gold.Group) error {
	for i := range groups {
		g := &groups[i]
		r := s.ref(g.Series)
		for rest := g.Versions; ; {
			versions := rest[:min(len(rest), gold.MaxVersions)]
			rest = rest[len(versions):]
			b := binary.AppendUvarint(append(s.buffer[:0], kind), r.place)
			b = binary.AppendVarint(b, g.Start)
			b = binary.AppendVarint(b, int64(g.Width))
			samples := gold.AppendSamples(nil, g.Start, versions)
			stamps := gold.AppendStamps(nil, g.Start, versions)
			for _, column := range [][]byte{samples, stamps} {
				b = append(binary.AppendUvarint(b, uint64(len(column))), column...)
			}
			s.buffer = b
			if _, err := s.out[r.file].Write(b); err != nil {
				return err
			}
			if len(rest) == 0 {
				break
			}
		}
	}
	return nil
}

// Window is what was gathered of one window, by kind.
type Window struct {
	gold.Key
	Versions [kinds][]gold.Version // normalized
}

// Load returns the windows in a file with from ≤ key < to. When these have more
// versions than the limit it returns a key that divides them instead, unless they are
// of one window.
func (s *Gathering) Load(file int, from, to goldstore.RowKey, limit int) (
	windows map[goldstore.RowKey]*Window, middle goldstore.RowKey, err error,
) {
	if err := s.out[file].Flush(); err != nil {
		return nil, middle, err
	}
	in := bufio.NewReaderSize(io.NewSectionReader(s.files[file], 0, math.MaxInt64), 256<<10)
	windows = make(map[goldstore.RowKey]*Window)
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
			w = &Window{Key: group.Key}
			windows[key] = w
		}
		w.Versions[kind] = append(w.Versions[kind], group.Versions...)
		if count += len(group.Versions) + 1; count > limit && len(windows) > 1 {
			return nil, middleOf(windows), nil
		}
	}
	for _, w := range windows {
		for kind := range w.Versions {
			w.Versions[kind] = gold.Normalize(w.Versions[kind])
		}
	}
	return windows, middle, nil
}

// read reads the next group, nil when its key is not in the range.
func (s *Gathering) read(in *bufio.Reader, from, to goldstore.RowKey) (
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
	if RowBefore(key, from) || !RowBefore(key, to) {
		return kind, key, nil, nil
	}
	group.Versions, err = gold.Decode(group.Start, samples, stamps)
	return kind, key, group, err
}

var errDamaged = errors.New("a file of gathered versions ends in the middle")

// RowBefore reports whether a row stands before another by series and start.
func RowBefore(k, l goldstore.RowKey) bool {
	return k.SeriesID < l.SeriesID || k.SeriesID == l.SeriesID && k.Start < l.Start
}

// middleOf returns a key that divides windows, of which there are two at least.
func middleOf(windows map[goldstore.RowKey]*Window) goldstore.RowKey {
	keys := make([]goldstore.RowKey, 0, len(windows))
	for k := range windows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(k, l goldstore.RowKey) int {
		switch {
		case RowBefore(k, l):
			return -1
		case RowBefore(l, k):
			return 1
		default:
			return 0
		}
	})
	middle := keys[len(keys)/2]
	middle.Width = 0
	return middle
}
