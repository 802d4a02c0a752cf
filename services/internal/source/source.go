// Package source reads readings from files: CSV and Parquet in which every metric
// has a column (wide) or every reading a row (long), and NDJSON. A [Mapping] says
// what the columns mean.
//
// What it promises: files are streamed, a gzip and Parquet are recognised by their
// first bytes, and a bad row never spoils its neighbours: it is a [RowError] that
// names file, line (or row) and column, and the next call goes on behind it. A
// cell that says "no reading" is counted, never turned into a zero.
//
// Memory is bounded by the longest record (1 MiB), a table of names, and about
// 200 bytes for each series of a file whose times are local; of Parquet by a page
// (64 MiB at most, 1 MiB as usually written) and a dictionary of each column that
// the mapping names.
//
// # Parquet
//
// The columns that the mapping names must hold one value a row. A row means what
// the row of a CSV with the same content would: numbers of any type are read as
// decimals (a float of 32 bits as the shortest that names it), and null is the
// cell that says "no reading". Times come from a column of text or of numbers, as
// the layout says, or from a date or timestamp, whose type says it; a timestamp
// that is not adjusted to UTC needs a zone, one that is takes none. Parquet is
// read from its end, so it cannot come through a pipe.
//
// # Local times
//
// A layout without an offset needs a zone. A local time that its zone skips in
// spring is a RowError. One that occurs twice in autumn is resolved by the order
// of the series in the file: it is the first occurrence as long as time runs on,
// and the second as soon as it would stand still or go back. A file that runs
// from new to old is read the other way round. What no order can tell, a gap
// that hides the turn of the clock, counts as the first occurrence; times in UTC
// or with an offset have no such doubt.
package source

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/energy-platform/energy/pkg/reading"
)

// Stdin is the path that stands for standard input.
const Stdin = "-"

// Position says where in its file a reading stands: in a line of text, or in a
// row of a Parquet file. Each is 1 for the first.
type Position struct {
	Line int
	Row  int64
}

// Counts tells what has been read so far.
type Counts struct {
	Rows     int64 // records with data
	Readings int64 // readings returned
	Absent   int64 // cells that say "no reading"
	Bad      int64 // errors of type *RowError returned
	Unknown  int64 // NDJSON fields that are no part of a reading
}

// Source is an open file of readings. It is not safe for concurrent use, except
// for [Source.Progress].
type Source struct {
	name   string
	rows   rows
	queue  []item
	next   int
	counts Counts
	read   *counter
	total  int64
	close  func() error
}

// rows yields what stands in the next record.
type rows interface {
	// read appends the readings and errors of the next record. Any error ends
	// the file; io.EOF is its proper end.
	read(queue []item) ([]item, error)
}

// item is a reading or what is wrong instead of it.
type item struct {
	reading reading.Reading
	at      Position
	err     *RowError
}

// Open opens a file, or standard input for "-". The zero Mapping reads NDJSON.
// The header is read and checked against the mapping.
func Open(path string, m Mapping) (*Source, error) {
	if path == Stdin {
		return OpenReader("standard input", os.Stdin, 0, m)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err // os says what and where
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory; name the files in it", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s, err := OpenReader(filepath.Base(path), f, info.Size(), m)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.close = f.Close
	return s, nil
}

// OpenReader reads from r, which messages call name. Size is the number of bytes
// that r will yield, 0 when unknown. Closing the Source leaves r open.
func OpenReader(name string, r io.Reader, size int64, m Mapping) (*Source, error) {
	p, err := m.compile()
	if err != nil {
		return nil, fmt.Errorf("mapping: %w", err)
	}
	s := &Source{name: name, total: size, read: &counter{r: r}, close: func() error { return nil }}
	if at, ok := seekable(r); ok && beginsAsParquet(at) {
		if s.rows, err = newParquet(name, at, p, s); err != nil {
			return nil, err
		}
		return s, nil
	}
	text, err := plainText(s.read)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	head, _ := text.Peek(len(magic)) // what is wrong with it, the first Next will say
	if err := notParquet(name, p, head); err != nil {
		return nil, err
	}
	if m.isZero() {
		if err := checkNDJSON(name, text); err != nil {
			return nil, err
		}
		p.ndjson = true
	}
	lines := &lines{r: text}
	if p.ndjson {
		s.rows = &jsonRows{file: name, lines: lines, counts: &s.counts}
		return s, nil
	}
	if s.rows, err = newCSV(name, lines, p, &s.counts); err != nil {
		return nil, err
	}
	return s, nil
}

// Next returns the next reading. The error is io.EOF at the end, a *[RowError]
// for a bad row, after which Next may be called again, and anything else when
// the file cannot be read on.
func (s *Source) Next() (reading.Reading, Position, error) {
	for s.next == len(s.queue) {
		var err error
		s.next = 0
		if s.queue, err = s.rows.read(s.queue[:0]); err != nil {
			if !errors.Is(err, io.EOF) {
				err = fmt.Errorf("%s: %w", s.name, err)
			}
			return reading.Reading{}, Position{}, err
		}
	}
	it := s.queue[s.next]
	s.next++
	if it.err != nil {
		s.counts.Bad++
		return reading.Reading{}, it.at, it.err
	}
	s.counts.Readings++
	return it.reading, it.at, nil
}

// Counts returns what has been read so far.
func (s *Source) Counts() Counts { return s.counts }

// Progress returns how many bytes of the file have been read, compressed ones of
// a gzip, and how many there are, 0 when that is unknown. Of a Parquet file, whose
// columns stand apart, it is the share of its rows.
func (s *Source) Progress() (read, total int64) { return s.read.n.Load(), s.total }

// Open returns the last line of a CSV that has been read to its end without a
// newline there, so that nobody can tell whether its last number is whole.
func (s *Source) Open() (Position, bool) {
	c, ok := s.rows.(*csvRows)
	if !ok || !c.lines.open {
		return Position{}, false
	}
	return Position{Line: c.lines.number}, true
}

// Slips returns, since the last call, the members of NDJSON that are named almost
// like a field, each name once.
func (s *Source) Slips() []Slip {
	j, ok := s.rows.(*jsonRows)
	if !ok {
		return nil
	}
	found := j.slips.waiting
	j.slips.waiting = nil
	return found
}

// Name returns how messages call the file.
func (s *Source) Name() string { return s.name }

// TotalRows returns how many rows the file has, 0 when that is unknown, as it is
// for text.
func (s *Source) TotalRows() int64 {
	if p, ok := s.rows.(*parquetRows); ok {
		return p.total
	}
	return 0
}

// Close closes what Open opened, and gives back what was read ahead.
func (s *Source) Close() error {
	if p, ok := s.rows.(*parquetRows); ok {
		return errors.Join(p.close(), s.close())
	}
	return s.close()
}

// counter counts the bytes that pass.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// plainText returns r unpacked and behind its byte order mark.
func plainText(r io.Reader) (*bufio.Reader, error) {
	const size = 64 << 10
	b := bufio.NewReaderSize(r, size)
	if head, err := b.Peek(2); err == nil && head[0] == 0x1F && head[1] == 0x8B {
		unpacked, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("begins as a gzip but is none: %w", err)
		}
		b = bufio.NewReaderSize(unpacked, size)
	}
	head, err := b.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the beginning: %w", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xEF\xBB\xBF")):
		_, err := b.Discard(3)
		return b, err
	case bytes.HasPrefix(head, []byte("\xFF\xFE")), bytes.HasPrefix(head, []byte("\xFE\xFF")):
		return nil, errors.New("is UTF-16; convert it: iconv -f utf-16 -t utf-8")
	case bytes.HasPrefix(head, []byte("PK\x03")):
		return nil, errors.New("is a zip archive; unpack it first, or pipe it: unzip -p FILE | energy publish -")
	}
	return b, nil
}

// checkNDJSON refuses what cannot be NDJSON when no mapping was given.
func checkNDJSON(name string, text *bufio.Reader) error {
	for n := 1; n <= text.Size(); n++ {
		head, err := text.Peek(n)
		if err != nil {
			return nil // empty, or unreadable, which the first Next will say
		}
		switch head[n-1] {
		case ' ', '\t', '\r', '\n':
			continue
		case '{':
			return nil
		case '[':
			return fmt.Errorf("%s is a JSON array; write one object a line, for example with: jq -c '.[]'", name)
		}
		break
	}
	return fmt.Errorf("%s is not NDJSON; say what its columns mean with a mapping file (--mapping FILE) "+
		"or with --column or --value", name)
}
