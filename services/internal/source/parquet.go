package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// Formats of files, as a mapping names them.
const (
	csv           = "csv"
	parquetFormat = "parquet"
)

const (
	magic      = "PAR1"         // begins and ends a Parquet file
	tailSize   = 4 + len(magic) // the size of the footer, and magic
	maxFooter  = 64 << 20
	readBuffer = 64 << 10 // bytes of a column that are read at once
)

// parquetRows makes readings of the rows of a Parquet file: those that csvRows
// would make of a CSV with the same content. The columns that the mapping names
// are read side by side, a page of each at a time.
type parquetRows struct {
	table
	columns  []*parquetColumn
	groups   []parquet.RowGroup
	layouts  []format.RowGroup // where the columns of the groups stand
	left     int64             // rows of the group that is read
	row      int64             // rows read
	total    int64             // rows of the file, as it says
	progress *counter
	size     int64
	text     []byte // of the row's cells
	ends     []int  // of the cells in it
}

// seekable returns r for reading at any place, and its size; ok is false for a
// pipe.
func seekable(r io.Reader) (at *io.SectionReader, ok bool) {
	file, ok := r.(interface {
		io.ReaderAt
		io.Seeker
	})
	if !ok {
		return nil, false
	}
	begin, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, false
	}
	end, err := file.Seek(0, io.SeekEnd)
	if _, back := file.Seek(begin, io.SeekStart); err != nil || back != nil {
		return nil, false
	}
	return io.NewSectionReader(file, begin, end-begin), true
}

// isParquet reports whether a file begins as Parquet, encrypted or not.
func isParquet(head []byte) bool {
	return bytes.HasPrefix(head, []byte(magic)) || bytes.HasPrefix(head, []byte("PARE"))
}

func beginsAsParquet(r io.ReaderAt) bool {
	var head [len(magic)]byte
	_, err := r.ReadAt(head[:], 0)
	return err == nil && isParquet(head[:])
}

// notParquet refuses text that was announced as Parquet, and Parquet that can
// only be read from front to back.
func notParquet(name string, p *plan, head []byte) error {
	switch {
	case isParquet(head):
		return fmt.Errorf("%s is Parquet, which is read from its end, but it comes packed or through a pipe; "+
			"write it to a file as it is and publish that", name)
	case p.format == parquetFormat || strings.HasSuffix(strings.ToLower(name), "."+parquetFormat):
		return fmt.Errorf("%s is no Parquet file: it does not begin with %s; "+
			"if it is a CSV, rename it or say --input csv", name, magic)
	}
	return nil
}

// newParquet reads the footer and finds the mapping's columns in it.
func newParquet(name string, r *io.SectionReader, p *plan, s *Source) (*parquetRows, error) {
	if p.format == csv {
		return nil, fmt.Errorf("%s is Parquet and the mapping's format is csv; remove the format", name)
	}
	s.total = r.Size()
	rows := &parquetRows{table: newTable(name, p, &s.counts), progress: s.read, size: r.Size()}
	file, err := openParquet(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	rows.groups, rows.layouts, rows.total = file.RowGroups(), file.Metadata().RowGroups, file.NumRows()
	columns := file.Root().Columns()
	if err := guarded(func() error { return rows.choose(columns, r) }); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rows, nil
}

// openParquet reads what the footer says, after a look at whether it can be true.
func openParquet(r *io.SectionReader) (file *parquet.File, err error) {
	size := r.Size()
	tail := make([]byte, tailSize)
	if _, err := r.ReadAt(tail, max(0, size-int64(tailSize))); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the end: %w", err)
	}
	const cut = "is cut short, or its writer is not done"
	const again = "copy it again, or publish it when its writer is done"
	switch string(tail[4:]) {
	case magic:
	case "PARE":
		return nil, errors.New("is encrypted; publish a copy that is not")
	default:
		return nil, fmt.Errorf("%s: it does not end with %s; %s", cut, magic, again)
	}
	length := int64(binary.LittleEndian.Uint32(tail))
	if length > size-int64(tailSize+len(magic)) {
		return nil, fmt.Errorf("%s: its footer of %d bytes is larger than the file; %s", cut, length, again)
	}
	if length > maxFooter {
		return nil, fmt.Errorf("has a footer of %d bytes, more than %d; write it with fewer row groups", length, maxFooter)
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-int64(tailSize)-length); err != nil {
		return nil, fmt.Errorf("read the footer: %w", err)
	}
	if _, err := thriftSize(footer); err != nil {
		return nil, fmt.Errorf("its footer is corrupt: %w; %s", err, again)
	}
	err = guarded(func() (err error) {
		file, err = parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true),
			parquet.ReadBufferSize(readBuffer))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("its footer is corrupt: %w; %s", err, again)
	}
	return file, nil
}

// guarded turns a panic of the Parquet library into an error: it trusts files in
// places, and a corrupt one must not end the process.
func guarded(f func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v", parquet.ErrCorrupted, fault)
		}
	}()
	return f()
}

// choose finds the columns that the mapping names, and how each is read.
func (p *parquetRows) choose(columns []*parquet.Column, r io.ReaderAt) error {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name()
	}
	if len(p.series) == 0 {
		return fmt.Errorf("is Parquet; say what its columns mean with a mapping file (--mapping FILE) "+
			"or with --column or --value; it has %s", describe(columns))
	}
	if err := p.bind("file", names, len(names)); err != nil {
		return err
	}
	cells, err := p.chosen(columns)
	if err != nil {
		return err
	}
	if err := p.bindTime(cells); err != nil {
		return err
	}
	for i, c := range cells {
		if c != nil {
			c.comma = p.comma && c.content == number
			p.columns = append(p.columns, &parquetColumn{cell: *c, name: names[i], top: i, leaf: columns[i].Index(), file: r})
		}
	}
	p.fields, p.nulls = make([]string, len(columns)), make([]bool, len(columns))
	p.ends = make([]int, len(p.columns))
	return nil
}

// chosen returns the cells of the columns that the mapping names.
func (p *parquetRows) chosen(columns []*parquet.Column) ([]*cell, error) {
	var faults []error
	cells := make([]*cell, len(columns))
	refused := make([]bool, len(columns))
	for _, ref := range p.plan.cells() {
		if cells[ref.index] != nil || refused[ref.index] {
			continue
		}
		var err error
		if cells[ref.index], err = newCell(columns[ref.index]); err != nil {
			faults, refused[ref.index] = append(faults, err), true
		}
	}
	for i := range p.series {
		for _, v := range []*ref{&p.series[i].value, &p.series[i].exchange} {
			c := cells[v.index]
			if v.column != "" && c != nil && !slices.Contains([]content{text, integer, number}, c.content) {
				faults = append(faults, fmt.Errorf("column %q is %s; expected numbers, or text that holds them", v.column, c.typ))
			}
		}
	}
	return cells, errors.Join(faults...)
}

// describe lists columns with their types.
func describe(columns []*parquet.Column) string {
	var texts []string
	for _, c := range columns {
		texts = append(texts, fmt.Sprintf("%q (%s)", c.Name(), typeName(c)))
	}
	return strings.Join(texts, ", ")
}

// begin goes to the next row group.
func (p *parquetRows) begin() error {
	group, layout := p.groups[0], &p.layouts[0]
	p.groups, p.layouts = p.groups[1:], p.layouts[1:]
	chunks := group.ColumnChunks()
	if p.left = group.NumRows(); p.left < 0 {
		return fmt.Errorf("a row group has %d rows: %w", p.left, parquet.ErrCorrupted)
	}
	for _, c := range p.columns {
		if err := c.close(); err != nil {
			return err
		}
		c.begin(layout, chunks[c.leaf])
	}
	return nil
}

func (p *parquetRows) read(queue []item) ([]item, error) {
	for p.left == 0 {
		for _, c := range p.columns {
			if err := c.done(); err != nil {
				return queue, fmt.Errorf("row %d: %w", p.row, err)
			}
		}
		if len(p.groups) == 0 {
			p.progress.n.Store(p.size)
			return queue, io.EOF
		}
		if err := guarded(p.begin); err != nil {
			return queue, fmt.Errorf("behind row %d: %w", p.row, err)
		}
	}
	p.text = p.text[:0]
	for i, c := range p.columns {
		v, err := c.next()
		if err != nil {
			return queue, fmt.Errorf("row %d: column %q: %w; the rows before it are read", p.row+1, c.name, err)
		}
		if p.nulls[c.top] = v.IsNull(); !v.IsNull() {
			p.text = c.append(p.text, v)
		}
		p.ends[i] = len(p.text)
	}
	begin, all := 0, string(p.text)
	for i, c := range p.columns {
		p.fields[c.top] = strings.TrimSpace(all[begin:p.ends[i]])
		begin = p.ends[i]
	}
	p.left--
	p.row++
	p.counts.Rows++
	if p.total > 0 {
		p.progress.n.Store(int64(float64(p.size) * min(1, float64(p.row)/float64(p.total))))
	}
	return p.convert(queue, Position{Row: p.row}), nil
}

// close gives back what the columns hold.
func (p *parquetRows) close() error {
	var faults []error
	for _, c := range p.columns {
		faults = append(faults, c.close())
	}
	return errors.Join(faults...)
}
