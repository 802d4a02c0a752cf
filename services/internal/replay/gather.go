package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
)

const (
	// Kinds of versions that a Gathering keeps apart.
	kinds = 2
	// gatherBytes bounds what is held before it is sorted and put into the files.
	gatherBytes = 32 << 20
	// A run is looked into every so many bytes.
	runStep = 16 << 10
)

// Gathering keeps versions on disk until all of a replay are there: readings come in
// the order in which they were received, gold is worked through by rows. Its files
// hold some 20 bytes a version, in sorted runs of which each has an index in memory,
// and are loaded in parts that fit into memory: each part reads no more than it needs.
//
// Load may be called at the same time for several files; Add may not, nor beside it.
type Gathering struct {
	dir    string
	of     func(reading.Series) int
	series []reading.Series
	known  map[reading.Series]seriesRef
	hashID func(reading.Series) int64 // goldstore.SeriesID but in tests
	ids    map[int64]uint64           // places of the series
	files  []gatherFile
	limit  int // of held

	mu   sync.Mutex // Load puts what is held into the files
	held []byte
	refs []heldGroup

	column []byte // that is encoded
}

// gatherFile is a file of sorted runs.
type gatherFile struct {
	*os.File
	end  int64
	runs [][]step
}

// step is where a run, or its end, can be looked into.
type step struct {
	key goldstore.RowKey // of the group there
	at  int64
}

// heldGroup is a group that is held, encoded, in memory.
type heldGroup struct {
	file     int
	key      goldstore.RowKey
	from, to int
}

const heldGroupBytes = 48

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
		dir: own, of: of, known: make(map[reading.Series]seriesRef), hashID: goldstore.SeriesID,
		ids: make(map[int64]uint64), files: make([]gatherFile, files), limit: gatherBytes,
	}
	for i := range s.files {
		s.files[i].File, err = os.Create(filepath.Join(own, strconv.Itoa(i)))
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
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
		if f.File != nil {
			faults = append(faults, f.Close())
		}
	}
	return errors.Join(append(faults, os.RemoveAll(s.dir))...)
}

// ref returns the place of a series, which is given one at first.
func (s *Gathering) ref(series reading.Series) (seriesRef, error) {
	if r, ok := s.known[series]; ok {
		return r, nil
	}
	r := seriesRef{uint64(len(s.series)), s.hashID(series), s.of(series)}
	if other, taken := s.ids[r.id]; taken {
		return r, &goldstore.CollisionError{ID: r.id, Stored: s.series[other], Wanted: series}
	}
	s.series = append(s.series, series)
	s.known[series], s.ids[r.id] = r, r.place
	return r, nil
}

// Add takes in groups of a kind, 0 or 1. One without versions names a window. It returns
// *goldstore.CollisionError when two series have the same id: windows are told apart by it.
func (s *Gathering) Add(kind byte, groups []gold.Group) error {
	for i := range groups {
		g := &groups[i]
		r, err := s.ref(g.Series)
		if err != nil {
			return err
		}
		for rest := g.Versions; ; {
			versions := rest[:min(len(rest), gold.MaxVersions)]
			rest = rest[len(versions):]
			from := len(s.held)
			s.encode(kind, r.place, &g.Key, versions)
			s.refs = append(s.refs, heldGroup{
				r.file, goldstore.RowKey{SeriesID: r.id, Start: g.Start, Width: g.Width}, from, len(s.held),
			})
			if len(rest) == 0 {
				break
			}
		}
		if len(s.held)+heldGroupBytes*len(s.refs) >= s.limit {
			if err := s.spill(); err != nil {
				return err
			}
		}
	}
	return nil
}

// encode appends a group to what is held.
func (s *Gathering) encode(kind byte, series uint64, k *gold.Key, versions []gold.Version) {
	b := binary.AppendUvarint(append(s.held, kind), series)
	b = binary.AppendVarint(b, k.Start)
	b = binary.AppendVarint(b, int64(k.Width))
	s.column = gold.AppendSamples(s.column[:0], k.Start, versions)
	b = append(binary.AppendUvarint(b, uint64(len(s.column))), s.column...)
	s.column = gold.AppendStamps(s.column[:0], k.Start, versions)
	s.held = append(binary.AppendUvarint(b, uint64(len(s.column))), s.column...)
}

// spill puts what is held into the files, as a run in each.
func (s *Gathering) spill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.refs, func(a, b heldGroup) int {
		if a.file != b.file {
			return a.file - b.file
		}
		return a.key.Compare(b.key)
	})
	for rest := s.refs; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].file == rest[0].file {
			n++
		}
		if err := s.files[rest[0].file].run(s.held, rest[:n]); err != nil {
			return fmt.Errorf("put %d windows into %s: %w", n, s.dir, err)
		}
		rest = rest[n:]
	}
	s.held, s.refs = s.held[:0], s.refs[:0]
	return nil
}

// run appends groups, which are in order, as a run.
func (f *gatherFile) run(held []byte, groups []heldGroup) error {
	out := bufio.NewWriterSize(f.File, 64<<10)
	var steps []step
	for i := range groups {
		g := &groups[i]
		// Groups of one window are never divided by a step, so that looking into a run at
		// a key misses none of it.
		if n := len(steps); n == 0 || f.end-steps[n-1].at >= runStep && g.key != groups[i-1].key {
			steps = append(steps, step{g.key, f.end})
		}
		if _, err := out.Write(held[g.from:g.to]); err != nil {
			return err
		}
		f.end += int64(g.to - g.from)
	}
	f.runs = append(f.runs, append(steps, step{at: f.end}))
	return out.Flush()
}

// Window is what was gathered of one window, by kind.
type Window struct {
	gold.Key
	Versions [kinds][]gold.Version // normalized
}

// Load returns the windows in a file with from ≤ key < to. When these have more
// versions than the limit it returns a key that divides them instead, unless they are
// of one window: those before it are within the limit, or one.
func (s *Gathering) Load(file int, from, to goldstore.RowKey, limit int) (
	windows map[goldstore.RowKey]*Window, middle goldstore.RowKey, err error,
) {
	if err := s.spill(); err != nil {
		return nil, middle, err
	}
	m, err := s.merge(file, from)
	if err != nil {
		return nil, middle, err
	}
	windows = make(map[goldstore.RowKey]*Window)
	var last goldstore.RowKey
	for count := 0; ; {
		kind, group, key, err := m.next()
		if err != nil {
			return nil, middle, fmt.Errorf("read what was gathered in %s: %w", s.dir, err)
		}
		if group == nil || key.Compare(to) >= 0 {
			break
		}
		w, ok := windows[key]
		divides := key.SeriesID != last.SeriesID || key.Start != last.Start
		if divides && count > 0 && count+len(group.Versions) >= limit {
			key.Width = 0
			return nil, key, nil
		}
		last = key
		if !ok {
			w = &Window{Key: group.Key}
			windows[key] = w
		}
		count += len(group.Versions) + 1
		w.Versions[kind] = append(w.Versions[kind], group.Versions...)
	}
	for _, w := range windows {
		for kind := range w.Versions {
			w.Versions[kind] = gold.Normalize(w.Versions[kind])
		}
	}
	return windows, middle, nil
}
