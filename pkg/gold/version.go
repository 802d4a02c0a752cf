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
}

// Compare orders versions by event time, then by content and judgement, stamps
// aside. Versions that compare equal are duplicates of each other.
func Compare(v, w *Version) int {
	if c := cmp.Compare(v.Time, w.Time); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(v.Quality, w.Quality),
		cmp.Compare(v.Revision, w.Revision),
		cmp.Compare(math.Float64bits(v.Value), math.Float64bits(w.Value)),
		cmp.Compare(v.Length, w.Length),
		compareBool(v.Exchange, w.Exchange),
		cmp.Compare(math.Float64bits(v.ExchangeStart), math.Float64bits(w.ExchangeStart)),
		cmp.Compare(v.Epoch, w.Epoch),
		cmp.Compare(v.Flags, w.Flags),
		compareBool(v.Rejected, w.Rejected),
		compareBool(v.Waived, w.Waived),
	)
}

// Normalize sorts versions into canonical order in place and keeps, of
// duplicates, the one with the smallest stamp. It returns the shortened slice.
func Normalize(versions []Version) []Version {
	for i := range versions {
		versions[i].Value += 0 // −0 is stored as 0
		if versions[i].ExchangeStart += 0; !versions[i].Exchange {
			versions[i].ExchangeStart = 0
		}
	}
	slices.SortFunc(versions, func(v, w Version) int {
		return cmp.Or(Compare(&v, &w), v.Stamp.Compare(w.Stamp))
	})
	return slices.CompactFunc(versions, func(v, w Version) bool { return Compare(&v, &w) == 0 })
}

// Merge returns the union of two normalized sets, normalized. Neither argument
// is changed; the result may share memory with one of them.
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
			if b[j].Stamp.Compare(v.Stamp) < 0 {
				v.Stamp = b[j].Stamp
			}
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
// Of several judgements of one stamp the waived outrank the unwaived, and then
// the highest epoch counts. Of what remains and is not rejected, the greatest
// by quality rank, revision, stamp and value bits wins.
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
// when all are rejected.
func winner(same []Version) *Version {
	if len(same) == 1 {
		if same[0].Rejected {
			return nil
		}
		return &same[0]
	}
	var best *Version
	for _, v := range judgedLast(same) {
		if !v.Rejected && (best == nil || outranks(v, best)) {
			best = v
		}
	}
	return best
}

// judgedLast returns, for each stamp, the judgement that counts. Judgements of
// one stamp and epoch with different outcomes cannot come from one catalogue;
// the order of Compare settles them all the same.
func judgedLast(same []Version) []*Version {
	all := make([]*Version, len(same))
	for i := range same {
		all[i] = &same[i]
	}
	slices.SortFunc(all, func(v, w *Version) int {
		return cmp.Or(v.Stamp.Compare(w.Stamp), compareJudgements(v, w))
	})
	last := all[:0]
	for i, v := range all {
		if i+1 == len(all) || all[i+1].Stamp != v.Stamp {
			last = append(last, v)
		}
	}
	return last
}

// compareJudgements orders judgements of one stamp; the greatest counts.
func compareJudgements(v, w *Version) int {
	return cmp.Or(
		compareBool(v.Waived, w.Waived),
		cmp.Compare(v.Epoch, w.Epoch),
		Compare(v, w),
	)
}

// outranks reports whether v wins over w. The last comparison makes the order
// total.
func outranks(v, w *Version) bool {
	return cmp.Or(
		cmp.Compare(v.Quality.Rank(), w.Quality.Rank()),
		cmp.Compare(v.Revision, w.Revision),
		v.Stamp.Compare(w.Stamp),
		cmp.Compare(math.Float64bits(v.Value), math.Float64bits(w.Value)),
		Compare(v, w),
	) > 0
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
