// Package gold holds the algebra of the platform: versions of readings and
// their merge, the choice of winners, the fold of winners into statistics, and
// the windows that answers are given for.
//
// Everything here is a pure function. The laws, proved by the package's
// property tests:
//
//   - Merge is commutative, associative and idempotent, and the empty set is
//     its identity. Whatever order, grouping or repetition versions come in,
//     the merged set is the same, byte for byte in its encoding.
//   - Combine has the empty Partial as identity. It is associative exactly for
//     counts, times, minimum, maximum, first and last, and within 1e-12 of
//     Σ|x| for sums.
//   - A fold is one left fold in time order, so that a statistic that was
//     stored and one that is computed again have equal bits.
package gold

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
)

// Version is one judged content of one identity (series, event time).
type Version struct {
	Time     int64         // event time, Unix ns; start of the interval if there is one
	Value    float64       // in the series' unit; finite, never −0
	Revision uint64        // producer's revision
	Length   time.Duration // span that the value covers; 0 for a value at an instant
	// ExchangeStart is the index that the new meter starts from; 0 unless
	// Exchange.
	ExchangeStart float64
	Flags         reading.Rules // rules that fired without rejecting
	Epoch         uint64        // catalogue epoch of the judgement
	Quality       reading.Quality
	Rejected      bool // the judgement takes the reading out
	Waived        bool // the judgement rests on a waiver
	Exchange      bool // the meter was exchanged: Value is the final index of the old one
	Stamp         reading.Stamp
	Released      int64 // when the waiver was given, Unix ns; 0 if that is not known, or not Waived
}

// Compare orders versions by event time, then by content and judgement, stamps
// and times of release aside. Versions that compare equal are duplicates of each
// other.
func Compare(v, w *Version) int {
	if c := cmp.Compare(v.Time, w.Time); c != 0 {
		return c
	}
	return cmp.Or(
		compareContents(v, w),
		cmp.Compare(v.Epoch, w.Epoch),
		cmp.Compare(v.Flags, w.Flags),
		compareBool(v.Rejected, w.Rejected),
		compareBool(v.Waived, w.Waived),
	)
}

// compareContents orders versions of one event time by content.
func compareContents(v, w *Version) int {
	return cmp.Or(
		cmp.Compare(v.Quality, w.Quality),
		cmp.Compare(v.Revision, w.Revision),
		cmp.Compare(math.Float64bits(v.Value), math.Float64bits(w.Value)),
		cmp.Compare(v.Length, w.Length),
		compareBool(v.Exchange, w.Exchange),
		cmp.Compare(math.Float64bits(v.ExchangeStart), math.Float64bits(w.ExchangeStart)),
	)
}

// Normalize sorts versions into canonical order in place and keeps, of
// duplicates, one with the smallest stamp and the earliest release: who released
// a reading first has done it (invariant 18). It returns the shortened slice.
func Normalize(versions []Version) []Version {
	for i := range versions {
		versions[i].Value += 0 // −0 is stored as 0
		if versions[i].ExchangeStart += 0; !versions[i].Exchange {
			versions[i].ExchangeStart = 0
		}
		if !versions[i].Waived {
			versions[i].Released = 0
		}
	}
	slices.SortFunc(versions, func(v, w Version) int {
		return cmp.Or(Compare(&v, &w), v.Stamp.Compare(w.Stamp))
	})
	kept := 0
	for i := range versions {
		if kept > 0 && Compare(&versions[kept-1], &versions[i]) == 0 {
			versions[kept-1].repeat(&versions[i])
			continue
		}
		versions[kept] = versions[i]
		kept++
	}
	clear(versions[kept:])
	return versions[:kept]
}

// repeat takes in a duplicate.
func (v *Version) repeat(w *Version) {
	if w.Stamp.Compare(v.Stamp) < 0 {
		v.Stamp = w.Stamp
	}
	v.Released = earlier(v.Released, w.Released)
}

// earlier returns the earlier of two times of release, of which 0 is none: it is not
// known where a service passed the release on that knew of no such times yet.
func earlier(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// Merge returns the union of two normalized sets, normalized (invariants 2 and 18).
// Neither argument is changed; the result may share memory with one of them.
func Merge(a, b []Version) []Version {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	out := make([]Version, 0, len(a)+len(b))
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch c := Compare(&a[i], &b[j]); {
		case c < 0:
			out = append(out, a[i])
			i++
		case c > 0:
			out = append(out, b[j])
			j++
		default:
			v := a[i]
			v.repeat(&b[j])
			out = append(out, v)
			i, j = i+1, j+1
		}
	}
	out = append(out, a[i:]...)
	return append(out, b[j:]...)
}

// Equal reports whether two normalized sets are the same, stamps included.
func Equal(a, b []Version) bool { return slices.Equal(a, b) }

// Winners appends to dst, in time order, the version that counts at each event
// time of a normalized set. Times whose winner is withdrawn are left out.
//
// A rejected judgement overrules earlier epochs' judgements of the same content
// and waiver. A content stands if a judgement that accepts it is not overruled;
// its stamp is the smallest of these, whatever their epochs. Of the contents
// that stand, the greatest by quality rank, revision, stamp and value bits wins.
//
// So, once each reading's judgements under all epochs are there, as
// silver.Hearing gives them, the winners are those of the newest epoch's
// judgements alone: what an earlier epoch accepted and the newest does not is
// overruled, and of what both accept the newest has no greater stamp (invariant 17).
func Winners(dst, versions []Version) []Version {
	for i := 0; i < len(versions); {
		j := i + 1
		for j < len(versions) && versions[j].Time == versions[i].Time {
			j++
		}
		if w := winner(versions[i:j]); w != nil && w.Quality != reading.Withdrawn {
			dst = append(dst, *w)
		}
		i = j
	}
	return dst
}

// winner returns the version that counts among those of one event time, nil
// when there is none.
func winner(same []Version) *Version {
	if len(same) == 1 {
		if same[0].Rejected {
			return nil
		}
		return &same[0]
	}
	var best contender
	for i := 0; i < len(same); {
		j := i + 1
		for j < len(same) && compareContents(&same[i], &same[j]) == 0 {
			j++
		}
		if c := contend(same[i:j]); c.version != nil && (best.version == nil || c.outranks(&best)) {
			best = c
		}
		i = j
	}
	return best.version
}

// contender is a content that stands.
type contender struct {
	version *Version // the waived, then the latest of its judgements; nil if it does not stand
	stamp   reading.Stamp
}

// contend weighs the judgements of one content.
func contend(same []Version) (c contender) {
	rejected := [...]uint64{lastRejection(same, false), lastRejection(same, true)}
	for i := range same {
		v := &same[i]
		switch {
		case v.Rejected || v.Epoch < rejected[v.waiver()]:
			continue
		case c.version == nil:
			c = contender{v, v.Stamp}
			continue
		case v.Stamp.Compare(c.stamp) < 0:
			c.stamp = v.Stamp
		}
		if cmp.Or(compareBool(v.Waived, c.version.Waived), Compare(v, c.version)) > 0 {
			c.version = v
		}
	}
	return c
}

// outranks reports whether c wins over d, another content. The last comparison
// makes the order total.
func (c *contender) outranks(d *contender) bool {
	v, w := c.version, d.version
	return cmp.Or(
		cmp.Compare(v.Quality.Rank(), w.Quality.Rank()),
		cmp.Compare(v.Revision, w.Revision),
		c.stamp.Compare(d.stamp),
		cmp.Compare(math.Float64bits(v.Value), math.Float64bits(w.Value)),
		compareContents(v, w),
	) > 0
}

// waiver is 1 for a judgement that rests on one.
func (v *Version) waiver() int {
	if v.Waived {
		return 1
	}
	return 0
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
