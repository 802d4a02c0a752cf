package replay

import (
	"bufio"
	"encoding/binary"
	"io"
	"time"
)

// fieldReader reads the fields of a group and keeps the first error.
type fieldReader struct {
	in  *bufio.Reader
	err error
}

func (f *fieldReader) uvarint() uint64 {
	if f.err != nil {
		return 0
	}
	var v uint64
	v, f.err = binary.ReadUvarint(f.in)
	return v
}

func (f *fieldReader) varint() int64 {
	if f.err != nil {
		return 0
	}
	var v int64
	v, f.err = binary.ReadVarint(f.in)
	return v
}

func (f *fieldReader) duration() time.Duration { return time.Duration(f.varint()) }

func (f *fieldReader) bytes() []byte {
	n := f.uvarint()
	if f.err != nil {
		return nil
	}
	b := make([]byte, n)
	_, f.err = io.ReadFull(f.in, b)
	return b
}
