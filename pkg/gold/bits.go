package gold

import "encoding/binary"

// bitWriter appends numbers of any width to bytes, the lowest bit first.
type bitWriter struct {
	b    []byte
	bits uint64 // not yet appended
	n    uint   // how many, below 64
}

// write appends the low bits of v; those above width are zero.
func (w *bitWriter) write(v uint64, width uint) {
	w.bits |= v << w.n
	w.n += width
	if w.n >= 64 {
		w.b = binary.LittleEndian.AppendUint64(w.b, w.bits)
		w.n -= 64
		w.bits = v >> (width - w.n)
	}
}

// end fills up the last byte with zeros and returns all.
func (w *bitWriter) end() []byte {
	for w.n > 0 {
		w.b = append(w.b, byte(w.bits))
		w.bits >>= 8
		w.n -= min(w.n, 8)
	}
	return w.b
}

// bitReader reads what a bitWriter wrote. Behind the end it reads zeros.
type bitReader struct {
	b     []byte
	at    uint // bits read
	short bool // there were less than asked for
}

func (r *bitReader) read(width uint) uint64 {
	if r.at+width > 8*uint(len(r.b)) {
		r.short = true
		return 0
	}
	from, shift := r.at/8, r.at%8
	v := load(r.b[from:]) >> shift
	if shift+width > 64 {
		v |= uint64(r.b[from+8]) << (64 - shift)
	}
	r.at += width
	return v & (1<<width - 1)
}

// load returns the first 8 bytes of b, or what there is of them.
func load(b []byte) (v uint64) {
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b)
	}
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// skip moves the decoder behind what was read as bits.
func (d *decoder) skip(r *bitReader) {
	used := (r.at + 7) / 8
	switch {
	case d.err != nil:
	case r.short:
		d.fail("cut short")
	case r.at%8 != 0 && r.b[used-1]>>(r.at%8) != 0:
		d.fail("bits behind the end")
	default:
		d.rest = d.rest[used:]
	}
}
