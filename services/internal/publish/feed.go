package publish

import (
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"

	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/source"
)

// entry is a reading, a bad row, what ended the feed too early, or, with all of
// them absent, the end of a file.
type entry struct {
	reading reading.Reading
	is      bool // there is a reading
	bad     *source.RowError
	doubts  []string // about the reading, its row, or the file at its end
	failed  error

	rows, absent int64 // read up to here, of all files
}

// readAhead bounds the entries that wait to be published.
const readAhead = 1024

// feed reads the files ahead of the publisher. Its goroutine owns entries and
// closes it.
type feed struct {
	entries chan entry
	cancel  context.CancelFunc
	total   int64        // bytes of all files, 0 when unknown
	read    atomic.Int64 // bytes
	rows    atomic.Int64 // of the file that is read
	rowsAll atomic.Int64 // that it has, 0 when unknown
	live    atomic.Bool  // standard input is being read

	// Of the files before the one that is read; the goroutine's own.
	before source.Counts
	bytes  int64
	units  units
}

func startFeed(ctx context.Context, o *Options) (*feed, error) {
	units, err := newUnits()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{entries: make(chan entry, readAhead), cancel: cancel, total: totalSize(o.Files), units: units}
	go func() {
		defer close(f.entries)
		for _, path := range o.Files {
			f.live.Store(path == source.Stdin)
			if ctx.Err() != nil { // after live is set: see stop
				return
			}
			if err := f.file(ctx, path, o); err != nil {
				f.put(ctx, entry{failed: err, rows: f.before.Rows, absent: f.before.Absent})
				return
			}
			f.live.Store(false)
		}
	}()
	return f, nil
}

// stop ends the feed and waits for its goroutine, unless that waits for standard
// input, which nobody can interrupt: it then ends with the next line.
func (f *feed) stop() {
	f.cancel()
	for !f.live.Load() {
		if _, ok := <-f.entries; !ok {
			return
		}
	}
}

// put hands an entry over; false means that the feed is to end.
func (f *feed) put(ctx context.Context, e entry) bool {
	select {
	case f.entries <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// file reads one file.
func (f *feed) file(ctx context.Context, path string, o *Options) error {
	s, err := open(path, o)
	if err != nil {
		return err
	}
	defer s.Close() // read only: nothing can be lost
	defer f.leave(s)
	f.rowsAll.Store(s.TotalRows())
	bad := false // the last row was
	for n := 0; ; n++ {
		r, at, err := s.Next()
		counts := s.Counts()
		e := entry{reading: r, is: err == nil, rows: f.before.Rows + counts.Rows, absent: f.before.Absent + counts.Absent}
		end := errors.Is(err, io.EOF)
		e.doubts = doubtNames(s)
		switch {
		case e.is:
			e.doubts = append(e.doubts, f.units.doubt(s.Name(), at, &r)...)
		case end && !bad:
			e.doubts = append(e.doubts, doubtEnd(s)...)
		}
		if bad = err != nil && !end; bad && !errors.As(err, &e.bad) {
			return err
		}
		if !f.put(ctx, e) || end {
			return nil
		}
		if n%256 == 0 {
			read, _ := s.Progress()
			f.read.Store(f.bytes + read)
			f.rows.Store(counts.Rows)
		}
	}
}

// leave adds a file to those before.
func (f *feed) leave(s *source.Source) {
	read, _ := s.Progress()
	f.bytes += read
	f.read.Store(f.bytes)
	f.rows.Store(s.Counts().Rows)
	f.before.Rows += s.Counts().Rows
	f.before.Absent += s.Counts().Absent
}

func open(path string, o *Options) (*source.Source, error) {
	if path == source.Stdin {
		return source.OpenReader("standard input", o.Stdin, 0, o.Mapping)
	}
	return source.Open(path, o.Mapping)
}

// totalSize returns the bytes of all files, 0 when one of them is a stream.
func totalSize(files []string) (total int64) {
	for _, path := range files {
		info, err := os.Stat(path)
		if path == source.Stdin || err != nil || !info.Mode().IsRegular() {
			return 0
		}
		total += info.Size()
	}
	return total
}
