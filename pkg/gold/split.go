package gold

import (
	"cmp"
	"slices"
	"time"
)

// PartVersions is how many versions are stored as one. The versions of a fuller
// window are stored in parts, so that a change rewrites no more than this.
const PartVersions = 256

// Part is a part of a window's span, in whole seconds, and the versions in it.
type Part struct {
	Start    int64 // Unix ns
	Width    time.Duration
	Versions []Version // of the window, of which they are a slice
}

// Split returns the parts that the versions of a window are stored in, in order
// of time; none when it holds no more than PartVersions. The span is halved, a
// half that is too full again, until each holds no more than PartVersions or is
// a second wide, which is stored as it is. The first of two halves of an odd
// number of seconds is the shorter one. Halves without versions are left out.
// So the parts are a function of the set, and of sets that grow the parts only
// ever become finer.
func Split(start int64, width time.Duration, versions []Version) []Part {
	if len(versions) <= PartVersions {
		return nil
	}
	return split(nil, Part{start, width, versions})
}

func split(parts []Part, p Part) []Part {
	switch {
	case len(p.Versions) == 0:
		return parts
	case len(p.Versions) <= PartVersions, p.Width < 2*time.Second:
		return append(parts, p)
	}
	first, second := p, p
	first.Width = (p.Width / 2).Truncate(time.Second)
	second.Start, second.Width = p.Start+int64(first.Width), p.Width-first.Width
	n, _ := slices.BinarySearchFunc(p.Versions, second.Start, func(v Version, t int64) int {
		return cmp.Compare(v.Time, t)
	})
	first.Versions, second.Versions = p.Versions[:n:n], p.Versions[n:]
	return split(split(parts, first), second)
}
