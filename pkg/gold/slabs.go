package gold

import "sync"

// slabVersions is the number of versions in a slab, about 50 KiB.
const slabVersions = 512

type slab = [slabVersions]Version

// Slabs lends memory for versions to the collectors that share it, and takes it back:
// memory that was used just now is cheaper than fresh memory, and collectors are full
// one after the other. It is safe for concurrent use; its zero value is ready for use.
type Slabs struct{ free sync.Pool }

func (s *Slabs) get() *slab {
	if one, ok := s.free.Get().(*slab); ok {
		return one
	}
	return new(slab)
}

func (s *Slabs) put(all []*slab) {
	for _, one := range all {
		s.free.Put(one)
	}
}

// arrivals is versions in the order that they came in.
type arrivals struct {
	slabs *Slabs
	full  []*slab // the last one is full up to used
	used  int
}

func (a *arrivals) add(v *Version) {
	if len(a.full) == 0 || a.used == slabVersions {
		a.full, a.used = append(a.full, a.slabs.get()), 0
	}
	a.full[len(a.full)-1][a.used] = *v
	a.used++
}

func (a *arrivals) at(i int) *Version { return &a.full[i/slabVersions][i%slabVersions] }

// space is what slices of versions are cut from.
type space struct {
	slabs *Slabs
	cut   []*slab
	rest  []Version // of the last one
}

// of returns an empty slice for n versions.
func (s *space) of(n int) []Version {
	if n > slabVersions {
		return make([]Version, 0, n)
	}
	if n > len(s.rest) {
		one := s.slabs.get()
		s.cut, s.rest = append(s.cut, one), one[:]
	}
	cut := s.rest[:0:n]
	s.rest = s.rest[n:]
	return cut
}

// release gives all back: what was cut from it is not valid any more.
func (s *space) release() {
	s.slabs.put(s.cut)
	clear(s.cut)
	s.cut, s.rest = s.cut[:0], nil
}

func (a *arrivals) release() {
	a.slabs.put(a.full)
	clear(a.full)
	a.full, a.used = a.full[:0], 0
}
