package gold

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/energy-platform/energy/pkg/reading"
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

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail("cut short")
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) uvarint() uint64 {
	x, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail("bad integer")
		return 0
	}
	d.rest = d.rest[n:]
	return x
}

func (d *decoder) varint() int64 {
	x, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail("bad integer")
		return 0
	}
	d.rest = d.rest[n:]
	return x
}

func (d *decoder) times(start int64, versions []Version) {
	prev, delta := start, int64(0)
	for i := range versions {
		delta += d.varint()
		prev += delta
		versions[i].Time = prev
	}
}

func (d *decoder) values(versions []Version) {
	exponent := d.byte()
	switch {
	case d.err != nil:
	case exponent == valuesRaw:
		d.rawValues(versions)
	case exponent > maxExponent:
		d.fail("exponent out of range")
	default:
		scale, m := math.Pow10(int(exponent)), int64(0)
		for i := range versions {
			m += d.varint()
			versions[i].Value = float64(m) / scale
		}
	}
}

func (d *decoder) rawValues(versions []Version) {
	if len(d.rest) < 8*len(versions) {
		d.fail("values cut short")
		return
	}
	for i := range versions {
		versions[i].Value = math.Float64frombits(binary.LittleEndian.Uint64(d.rest[8*i:]))
	}
	d.rest = d.rest[8*len(versions):]
}

func (d *decoder) runs(versions []Version, set func(*Version, uint64)) {
	for i := 0; i < len(versions); {
		n, value := d.uvarint(), d.uvarint()
		if n == 0 || n > uint64(len(versions)-i) {
			d.fail("run out of bounds")
			return
		}
		for range n {
			set(&versions[i], value)
			i++
		}
	}
}

func (d *decoder) stamps(versions []Version) {
	var s reading.Stamp
	for i := 0; i < len(versions); {
		n := d.uvarint()
		s.Received += d.varint()
		s.Sequence += uint64(d.varint())
		stream := d.uvarint()
		if n == 0 || n > uint64(len(versions)-i) || stream > math.MaxUint32 {
			d.fail("run of stamps out of bounds")
			return
		}
		s.Stream = uint32(stream)
		index := int64(0)
		for range n {
			index += d.varint()
			if index < 0 || index > math.MaxUint32 {
				d.fail("index out of range")
				return
			}
			s.Index = uint32(index)
			versions[i].Stamp = s
			i++
		}
	}
}
