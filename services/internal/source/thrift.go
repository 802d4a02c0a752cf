package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// errThrift says that bytes are no structure of Thrift's compact protocol.
var errThrift = errors.New("it is no structure of the compact protocol")

// maxDepth bounds structures in structures; Parquet's own have at most six.
const maxDepth = 32

// thriftSize returns how many bytes the structure at the beginning of data has.
// It looks at every length, since the decoder makes room for the elements of a
// list before it has seen them. What is cut short is io.ErrUnexpectedEOF.
//
// The format: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
func thriftSize(data []byte) (int, error) {
	w := thriftWalk{data: data}
	w.structure(maxDepth)
	return w.at, w.err
}

// thriftWalk steps over values; the first error stays.
type thriftWalk struct {
	data []byte
	at   int
	err  error
}

func (w *thriftWalk) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *thriftWalk) octet() byte {
	if w.err != nil || w.at >= len(w.data) {
		w.fail(io.ErrUnexpectedEOF)
		return 0
	}
	w.at++
	return w.data[w.at-1]
}

func (w *thriftWalk) varint() uint64 {
	if w.err != nil {
		return 0
	}
	v, n := binary.Uvarint(w.data[w.at:])
	switch {
	case n == 0:
		w.fail(io.ErrUnexpectedEOF)
	case n < 0:
		w.fail(errThrift)
	default:
		w.at += n
	}
	return v
}

func (w *thriftWalk) skip(n uint64) {
	if w.err == nil && n > uint64(len(w.data)-w.at) {
		w.fail(io.ErrUnexpectedEOF)
	}
	if w.err == nil {
		w.at += int(n)
	}
}

func (w *thriftWalk) structure(depth int) {
	if depth == 0 {
		w.fail(errThrift)
	}
	for w.err == nil {
		head := w.octet()
		if head == 0 {
			return
		}
		if head>>4 == 0 {
			w.varint() // the field's number in full
		}
		if kind := head & 0xF; kind > 2 { // 1 and 2 are a boolean field and its value
			w.value(kind, depth-1)
		}
	}
}

// value steps over a value of a kind that stands by itself.
func (w *thriftWalk) value(kind byte, depth int) {
	switch kind {
	case 1, 2, 3: // booleans in lists, and bytes
		w.octet()
	case 4, 5, 6:
		w.varint()
	case 7:
		w.skip(8)
	case 8:
		w.skip(w.varint())
	case 9, 10:
		head := w.octet()
		n := uint64(head >> 4)
		if n == 15 {
			n = w.varint()
		}
		w.elements(n, depth, head&0xF)
	case 11:
		if n := w.varint(); n > 0 {
			kinds := w.octet()
			w.elements(n, depth, kinds>>4, kinds&0xF)
		}
	case 12:
		w.structure(depth)
	default:
		w.fail(fmt.Errorf("%w: kind %d", errThrift, kind))
	}
}

// elements steps over a collection, each of whose elements takes a byte or more.
func (w *thriftWalk) elements(n uint64, depth int, kinds ...byte) {
	if depth <= 0 {
		w.fail(errThrift)
	}
	if w.err == nil && n > uint64(len(w.data)-w.at) {
		w.fail(io.ErrUnexpectedEOF)
	}
	for i := uint64(0); i < n && w.err == nil; i++ {
		for _, kind := range kinds {
			w.value(kind, depth-1)
		}
	}
}
