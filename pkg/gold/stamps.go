package gold

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/energy-platform/energy/pkg/reading"
)

// Stamps are encoded by message. Neighbours of one message share its receive
// time, stream and sequence; their indices mostly go on by a stride, as many as
// the message has readings a time. After the format byte, for a set that is not
// empty, come
//
//   - the numbers of neighbours of one message, as runs;
//   - receive times from the row's start as first differences, sequences as
//     second differences, streams as runs, one a message;
//   - the indices, from the first on as long as they go on by one stride: the
//     first, how many there are (0 for all that are left), and if there are two
//     or more the stride;
//   - in format 2, which sets have that hold a time of release, these times of the
//     waived versions, from the row's start, as first differences.

// AppendStamps appends the stamps that Encode returns.
func AppendStamps(b []byte, start int64, versions []Version) []byte {
	released := slices.ContainsFunc(versions, func(v Version) bool { return v.Released != 0 })
	if released {
		b = append(b, releasedFormat)
	} else {
		b = append(b, stampsFormat)
	}
	if len(versions) == 0 {
		return b
	}
	var (
		headRoom, intRoom [roomVersions]int64
		heads             = sized(headRoom[:], len(versions))[:0] // places of the first of each message
		ints              = sized(intRoom[:], len(versions))
	)
	for i := range versions {
		if i == 0 || !sameMessage(&versions[i-1].Stamp, &versions[i].Stamp) {
			heads = append(heads, int64(i))
		}
	}
	ints = ints[:len(heads)]
	for i := range heads {
		end := int64(len(versions))
		if i+1 < len(heads) {
			end = heads[i+1]
		}
		ints[i] = end - heads[i]
	}
	b = appendRuns(b, ints)
	for i, at := range heads {
		ints[i] = versions[at].Stamp.Received - start
	}
	b = appendInts(b, 1, ints)
	for i, at := range heads {
		ints[i] = int64(versions[at].Stamp.Sequence)
	}
	b = appendInts(b, 2, ints)
	for i, at := range heads {
		ints[i] = int64(versions[at].Stamp.Stream)
	}
	b = appendIndices(appendRuns(b, ints), versions)
	if released {
		b = appendReleases(b, start, versions)
	}
	return b
}

// appendReleases appends when the waived versions were released.
func appendReleases(b []byte, start int64, versions []Version) []byte {
	var room [roomVersions]int64
	ints := sized(room[:], len(versions))[:0]
	for i := range versions {
		if versions[i].Waived {
			ints = append(ints, versions[i].Released-start)
		}
	}
	return appendInts(b, 1, ints)
}

// sameMessage reports whether two stamps are of one source message.
func sameMessage(s, t *reading.Stamp) bool {
	return s.Sequence == t.Sequence && s.Stream == t.Stream && s.Received == t.Received
}

func appendIndices(b []byte, versions []Version) []byte {
	index := func(i int) int64 { return int64(versions[i].Stamp.Index) }
	for i := 0; i < len(versions); {
		j := i + 1
		for j < len(versions) && (j == i+1 || index(j)-index(j-1) == index(i+1)-index(i)) {
			j++
		}
		b = binary.AppendUvarint(b, uint64(index(i)))
		count := j - i
		if j == len(versions) {
			count = 0
		}
		b = binary.AppendUvarint(b, uint64(count))
		if j > i+1 {
			b = binary.AppendVarint(b, index(i+1)-index(i))
		}
		i = j
	}
	return b
}

// stamps reads the stamps of versions.
func (d *decoder) stamps(start int64, versions []Version) {
	released := len(d.rest) > 0 && d.rest[0] == releasedFormat
	if released {
		d.format(releasedFormat)
	} else {
		d.format(stampsFormat)
	}
	if released && len(versions) == 0 {
		d.fail("releases of nothing")
	}
	if d.err != nil || len(versions) == 0 {
		return
	}
	var (
		headRoom, intRoom [roomVersions]int64
		heads             = d.heads(sized(headRoom[:], len(versions)))
		ints              = sized(intRoom[:], len(versions))[:len(heads)]
	)
	d.ints(1, ints)
	for i, at := range heads {
		versions[at].Stamp.Received = start + ints[i]
	}
	d.ints(2, ints)
	for i, at := range heads {
		versions[at].Stamp.Sequence = uint64(ints[i])
	}
	d.runs(ints, math.MaxUint32)
	for i, at := range heads {
		s := &versions[at].Stamp
		s.Stream = uint32(ints[i])
		if at > 0 && sameMessage(&versions[at-1].Stamp, s) {
			d.fail("a message in two parts")
		}
		end := int64(len(versions))
		if i+1 < len(heads) {
			end = heads[i+1]
		}
		for j := at + 1; j < end; j++ {
			versions[j].Stamp = *s
		}
	}
	d.indices(versions)
	if released {
		d.releases(start, versions)
	}
}

// releases reads when the waived versions were released.
func (d *decoder) releases(start int64, versions []Version) {
	var room [roomVersions]int64
	ints := sized(room[:], len(versions))[:0]
	for i := range versions {
		if versions[i].Waived {
			ints = append(ints, 0)
		}
	}
	if len(ints) == 0 {
		d.fail("releases of nothing")
		return
	}
	d.ints(1, ints)
	given := false
	for i := range versions {
		if versions[i].Waived {
			versions[i].Released = start + ints[0]
			given = given || versions[i].Released != 0
			ints = ints[1:]
		}
	}
	if !given {
		d.fail("releases at no time")
	}
}

// heads reads the places of the first version of each message into room, which
// has as many places as there are versions.
func (d *decoder) heads(room []int64) []int64 {
	n, last := len(room), uint64(0)
	heads := room[:0]
	for at := 0; at < n; {
		size, count := d.uvarint(), d.uvarint()
		left := uint64(n - at)
		if count == 0 && size > 0 && left%size == 0 {
			count = left / size
		} else if count == 0 || count*size >= left || count > left || size > left {
			size = 0
		}
		if size == 0 || size == last {
			d.fail("messages out of place")
			return nil
		}
		for range count {
			heads = append(heads, int64(at))
			at += int(size)
		}
		last = size
	}
	return heads
}

func (d *decoder) indices(versions []Version) {
	following := int64(-1) // what would have gone on with the stride before
	for i := 0; i < len(versions); {
		first := d.uvarint()
		j := d.until(i, len(versions))
		if first > math.MaxUint32 || int64(first) == following || j == i+1 && j < len(versions) {
			d.fail("index out of place")
		}
		stride := int64(0)
		if j > i+1 {
			stride = d.varint()
		}
		if d.err != nil || stride > math.MaxUint32 || stride < -math.MaxUint32 {
			d.fail("stride out of range")
			return
		}
		index := int64(first)
		for ; i < j; i++ {
			if index < 0 || index > math.MaxUint32 {
				d.fail("index out of range")
			}
			versions[i].Stamp.Index = uint32(index)
			index += stride
		}
		following = index
	}
}
