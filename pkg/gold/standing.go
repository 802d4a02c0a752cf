package gold

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

// Standing says since when the winners of a span are what they are. It is a
// function of the set of versions and of the catalogue's history, and Append
// makes it that of a union of spans. Times are Unix ns; 0 says that there is
// none.
//
// A version is in force from its receive time on, and no earlier than the
// catalogue epoch that judged it or the release that it rests on. The winner of an
// event time at T is the winner of the versions in force at T. A winner changes when what it says does (value,
// quality, length, flags), and when it comes or goes: a later epoch that judges
// the same changes nothing, neither does a revision that repeats the value or a
// withdrawal of what was never there.
type Standing struct {
	// FirstReceived is the least receive time of the versions.
	FirstReceived int64
	// Settled is when the last change of a winner came into force.
	Settled int64
	// FirstSettled and LastSettled are since when the first and the last winner
	// of a base row are what they are, rows without winners beside them in a fold of
	// rows included. Only those of metrics that are Paired matter.
	FirstSettled, LastSettled int64
}

// Stand returns the standing of a normalized set of versions (invariant 15).
func Stand(h catalog.History, versions []Version) Standing {
	var (
		s     Standing
		found bool
	)
	for i := 0; i < len(versions); {
		j := i
		for j < len(versions) && versions[j].Time == versions[i].Time {
			s.receive(versions[j].Stamp.Received)
			j++
		}
		at, present := settled(h, versions[i:j])
		s.Settled = max(s.Settled, at)
		if !found {
			s.FirstSettled = max(s.FirstSettled, at)
		}
		if present {
			found, s.LastSettled = true, 0
		}
		s.LastSettled = max(s.LastSettled, at)
		i = j
	}
	return s
}

func (s *Standing) receive(at int64) {
	if s.FirstReceived == 0 || at != 0 && at < s.FirstReceived {
		s.FirstReceived = at
	}
}

// Append makes s the standing of its span and another.
func (s *Standing) Append(other *Standing) {
	s.receive(other.FirstReceived)
	s.Settled = max(s.Settled, other.Settled)
}

// countBefore returns how many versions, in time order, come before t.
func countBefore(versions []Version, t int64) int {
	n, _ := slices.BinarySearchFunc(versions, t, func(v Version, t int64) int { return cmp.Compare(v.Time, t) })
	return n
}

// inForce returns since when a version is in force: a released one since its release
// (invariant 18).
func inForce(h catalog.History, v *Version) int64 {
	return max(v.Stamp.Received, v.Released, h.Since(v.Epoch))
}

// KnownAt returns the versions of a normalized set that are in force at t, in
// Unix ns. The set is not changed.
func KnownAt(h catalog.History, versions []Version, t int64) []Version {
	unknown := func(v Version) bool { return inForce(h, &v) > t }
	if !slices.ContainsFunc(versions, unknown) {
		return versions
	}
	return slices.DeleteFunc(slices.Clone(versions), unknown)
}

// settled returns since when the winner among the versions of one event time is
// what it is, 0 when there never was one, and whether there is one.
func settled(h catalog.History, same []Version) (at int64, present bool) {
	if len(same) == 1 {
		if !counts(&same[0]) {
			return 0, false
		}
		return inForce(h, &same[0]), true
	}
	past := newContest(same)
	order := make([]int, len(same))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(inForce(h, &same[i]), inForce(h, &same[j])) })
	var last *Version
	for n, i := range order {
		past.judge(i)
		since := inForce(h, &same[i])
		if n+1 < len(order) && inForce(h, &same[order[n+1]]) == since {
			continue // they come into force together
		}
		if w := past.winner(); !sameWinner(w, last) {
			at, last = since, w
		}
	}
	return at, last != nil
}

// counts reports whether a version that wins is there.
func counts(v *Version) bool { return !v.Rejected && v.Quality != reading.Withdrawn }

// sameWinner reports whether two winners, nil for none, say the same.
func sameWinner(v, w *Version) bool {
	if v == nil || w == nil {
		return v == w
	}
	a, b := *v, *w
	a.Stamp, a.Revision, a.Epoch, a.Waived, a.Released = b.Stamp, b.Revision, b.Epoch, b.Waived, b.Released
	return Compare(&a, &b) == 0
}

// contest is the versions of one event time that are in force so far, by
// content.
type contest struct {
	same       []Version
	content    []int       // of each version
	judged     [][]Version // of each content, in force
	standing   []contender // of each content
	candidates candidates  // with contents as they stood before
}

// newContest returns the contest of a normalized set before any is in force.
func newContest(same []Version) *contest {
	c := &contest{same: same, content: make([]int, len(same))}
	for i := 1; i < len(same); i++ {
		c.content[i] = c.content[i-1]
		if compareContents(&same[i-1], &same[i]) != 0 {
			c.content[i]++
		}
	}
	contents := c.content[len(same)-1] + 1
	c.judged, c.standing = make([][]Version, contents), make([]contender, contents)
	return c
}

// judge takes in version i.
func (c *contest) judge(i int) {
	n := c.content[i]
	c.judged[n] = append(c.judged[n], c.same[i])
	c.standing[n] = contend(c.judged[n])
	if c.standing[n].version != nil {
		heap.Push(&c.candidates, candidate{c.standing[n], n})
	}
}

// winner returns the version that is there, nil when none is.
func (c *contest) winner() *Version {
	for len(c.candidates) > 0 {
		best := c.candidates[0]
		if c.standing[best.content] != best.contender {
			heap.Pop(&c.candidates)
			continue
		}
		if !counts(best.version) {
			return nil
		}
		return best.version
	}
	return nil
}

// candidate is a content as it stands or stood.
type candidate struct {
	contender
	content int
}

// candidates is a heap with the greatest on top.
type candidates []candidate

func (c candidates) Len() int           { return len(c) }
func (c candidates) Less(i, j int) bool { return c[i].outranks(&c[j].contender) }
func (c candidates) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(v any)        { *c = append(*c, v.(candidate)) }

func (c *candidates) Pop() any {
	last := len(*c) - 1
	v := (*c)[last]
	*c = (*c)[:last]
	return v
}
