package source

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Bounds of one page, of which memory holds two for each column: its values, and
// those of its dictionary.
const (
	maxPage       = 64 << 20 // bytes, unpacked
	maxPageValues = 16 << 20
	maxPageHeader = 1 << 20
)

// parquetColumn reads the values of one column, page by page.
type parquetColumn struct {
	cell
	name string
	top  int // index among the columns of the file
	leaf int // index among those that are not nested
	file io.ReaderAt

	headers headers
	pages   parquet.Pages
	page    parquet.Page
	values  parquet.ValueReader
	buffer  [128]parquet.Value
	at, end int // what is left in buffer
}

// begin goes to a row group.
func (c *parquetColumn) begin(group *format.RowGroup, chunk parquet.ColumnChunk) {
	meta := &group.Columns[c.leaf].MetaData
	offset := meta.DataPageOffset
	if meta.DictionaryPageOffset != 0 {
		offset = meta.DictionaryPageOffset
	}
	c.headers = headers{file: c.file, at: offset, end: offset + meta.TotalCompressedSize}
	c.pages = chunk.Pages()
}

// done refuses values that belong to no row: then others may have belonged to
// other rows.
func (c *parquetColumn) done() error {
	if c.at != c.end {
		return fmt.Errorf("column %q has more values than there are rows: %w", c.name, parquet.ErrCorrupted)
	}
	return nil
}

// close gives back what the column holds of a row group.
func (c *parquetColumn) close() error {
	if c.pages == nil {
		return nil
	}
	parquet.Release(c.page)
	err := c.pages.Close()
	c.pages, c.page, c.values, c.at, c.end = nil, nil, nil, 0, 0
	return err
}

// next returns the value of the next row. It is valid until the next call.
func (c *parquetColumn) next() (v parquet.Value, err error) {
	if c.at == c.end {
		if err := guarded(c.fill); err != nil {
			return v, fmt.Errorf("the file is corrupt or cut short: %w", err)
		}
	}
	v = c.buffer[c.at]
	c.at++
	return v, nil
}

// fill reads on in the page, or in the next one.
func (c *parquetColumn) fill() (err error) {
	for {
		c.at, c.end = 0, 0
		if c.values != nil {
			c.end, err = c.values.ReadValues(c.buffer[:])
		}
		switch {
		case c.end > 0:
			return nil
		case err != nil && !errors.Is(err, io.EOF):
			return err
		}
		parquet.Release(c.page)
		c.page, c.values = nil, nil
		if err := c.headers.check(); err != nil {
			return err
		}
		if c.page, err = c.pages.ReadPage(); err != nil {
			return unexpected(err)
		}
		c.values = c.page.Values()
	}
}

// unexpected tells an end that is no proper one.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// headers looks at the headers of the pages of a column chunk before the library
// does, which makes room for whatever sizes stand there.
type headers struct {
	file    io.ReaderAt
	at, end int64
	buffer  []byte
}

// check refuses a page that cannot be, or would take too much memory. It goes on
// to the next page with values.
func (h *headers) check() error {
	for {
		page, err := h.read()
		if err != nil {
			return err
		}
		values := int32(0)
		switch {
		case page.DataPageHeader.Valid:
			values = page.DataPageHeader.V.NumValues
		case page.DataPageHeaderV2.Valid:
			values = page.DataPageHeaderV2.V.NumValues
		case page.DictionaryPageHeader.Valid:
			values = page.DictionaryPageHeader.V.NumValues
		}
		if page.UncompressedPageSize > maxPage || values > maxPageValues {
			return fmt.Errorf("a page has %d bytes and %d values; expected at most %d and %d: write the file with smaller pages",
				page.UncompressedPageSize, values, maxPage, maxPageValues)
		}
		if h.at += int64(page.CompressedPageSize); page.CompressedPageSize < 0 || h.at > h.end {
			return fmt.Errorf("a page of %d bytes runs over the end of its column: %w",
				page.CompressedPageSize, parquet.ErrCorrupted)
		}
		if page.Type == format.DataPage || page.Type == format.DataPageV2 {
			return nil
		}
	}
}

// read decodes the header at the current place and moves behind it.
func (h *headers) read() (page format.PageHeader, err error) {
	for room := int64(256); ; room *= 8 {
		room = min(room, h.end-h.at)
		if room <= 0 {
			return page, io.ErrUnexpectedEOF
		}
		if int64(cap(h.buffer)) < room {
			h.buffer = make([]byte, room)
		}
		data := h.buffer[:room]
		n, err := h.file.ReadAt(data, h.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return page, err
		}
		size, err := thriftSize(data[:n])
		switch {
		case err == nil:
			h.at += int64(size)
			err = thrift.Unmarshal(&thrift.CompactProtocol{}, data[:size], &page)
			return page, err
		case errors.Is(err, io.ErrUnexpectedEOF) && room < h.end-h.at && room < maxPageHeader && int64(n) == room:
			continue
		}
		return page, fmt.Errorf("a page's header is corrupt: %w", err)
	}
}
