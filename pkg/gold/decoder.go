package gold

import (
	"encoding/binary"
	"fmt"
)

// decoder reads an encoding and remembers the first fault. After a fault every
// read returns zero.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%s: %w", what, ErrCorrupt)
	}
	d.rest = nil
}

// end returns the first fault; bytes left over are one.
func (d *decoder) end(what string) error {
	if d.err == nil && len(d.rest) > 0 {
		d.fail(fmt.Sprintf("%d bytes after the end", len(d.rest)))
	}
	if d.err != nil {
		return fmt.Errorf("decode %s: %w", what, d.err)
	}
	return nil
}

// format reads the format byte.
func (d *decoder) format(want byte) {
	if f := d.byte(); f != want {
		d.fail(fmt.Sprintf("format %d", f))
	}
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail("cut short")
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

// uvarint reads a varint of the least length.
func (d *decoder) uvarint() uint64 {
	x, n := binary.Uvarint(d.rest)
	if n <= 0 || n > 1 && d.rest[n-1] == 0 {
		d.fail("bad integer")
		return 0
	}
	d.rest = d.rest[n:]
	return x
}

func (d *decoder) varint() int64 {
	z := d.uvarint()
	return int64(z>>1) ^ -int64(z&1)
}
