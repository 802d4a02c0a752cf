package gold_test

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
)

// activated is when the second epoch came into force: between the receive times
// that goldtest draws.
var activated = goldtest.Start + int64(3500*time.Millisecond)

var history = catalog.NewHistory(map[uint64]int64{1: goldtest.Start + int64(time.Hour), 2: activated})

// chronicle is versions as they arrived, of two epochs.
type chronicle struct {
	arrivals  []gold.Version
	activated int64 // when the second epoch came into force
}

// since is when a version comes into force, by the sentences of the law.
func (c chronicle) since(v gold.Version) int64 {
	since := v.Stamp.Received
	if v.Epoch == 2 {
		since = max(since, c.activated)
	}
	if v.Waived {
		since = max(since, v.Released)
	}
	return since
}

// known returns what a user sees at a time: the winners of the arrivals in
// force, but for how they came to be known.
func (c chronicle) known(at int64) []gold.Version {
	var inForce []gold.Version
	for _, v := range c.arrivals {
		if c.since(v) <= at {
			inForce = append(inForce, v)
		}
	}
	winners := gold.Winners(nil, gold.Normalize(inForce))
	for i := range winners {
		w := &winners[i]
		w.Stamp, w.Revision, w.Epoch, w.Waived, w.Released = reading.Stamp{}, 0, 0, false, 0
	}
	return winners
}

// lastChange walks through time and returns when a projection of what is known
// changed last, 0 when it never did.
func (c chronicle) lastChange(seen func([]gold.Version) []gold.Version) (at int64) {
	times := make([]int64, len(c.arrivals))
	for i, v := range c.arrivals {
		times[i] = c.since(v)
	}
	slices.Sort(times)
	var before []gold.Version
	for _, t := range slices.Compact(times) {
		if now := seen(c.known(t)); !slices.Equal(before, now) {
			at, before = t, now
		}
	}
	return at
}

// search returns how many versions have an earlier event time.
func search(v []gold.Version, before int64) int {
	n, _ := slices.BinarySearchFunc(v, before, func(v gold.Version, at int64) int { return cmp.Compare(v.Time, at) })
	return n
}

func all(v []gold.Version) []gold.Version { return v }

// TestStandingIsWhenWinnersChangedLast compares the standing of a set, and of any fold of
// parts of its time, with a walk through the history of arrivals (invariants 15 and 18).
func TestStandingIsWhenWinnersChangedLast(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		arrivals := versions().Draw(t, "arrivals")
		set := gold.Normalize(slices.Clone(arrivals))
		c := chronicle{arrivals, activated}
		got := gold.Stand(history, set)
		var first int64
		for _, v := range arrivals {
			if first == 0 || v.Stamp.Received < first {
				first = v.Stamp.Received
			}
		}
		if got.FirstReceived != first {
			t.Errorf("first received at %d, want %d", got.FirstReceived, first)
		}
		if want := c.lastChange(all); got.Settled != want {
			t.Errorf("settled at %d, want %d", got.Settled, want)
		}
		end := c.known(math.MaxInt64)
		if len(end) == 0 {
			return
		}
		upTo := func(v []gold.Version) []gold.Version { return v[:search(v, end[0].Time+1)] }
		if want := c.lastChange(upTo); got.FirstSettled != want {
			t.Errorf("the first winner stands since %d, want %d", got.FirstSettled, want)
		}
		from := func(v []gold.Version) []gold.Version { return v[search(v, end[len(end)-1].Time):] }
		if want := c.lastChange(from); got.LastSettled != want {
			t.Errorf("the last winner stands since %d, want %d", got.LastSettled, want)
		}
	})
}

// TestStandingOfAFoldIsThatOfTheUnion cuts time into two spans.
func TestStandingOfAFoldIsThatOfTheUnion(t *testing.T) {
	t.Parallel()
	metric := &catalog.Metric{Kind: catalog.Gauge, Window: time.Hour}
	rapid.Check(t, func(t *rapid.T) {
		set := normalized().Draw(t, "versions")
		cut := goldtest.Start + rapid.Int64Range(0, int64(time.Hour)).Draw(t, "cut")
		n := search(set, cut)
		sum := gold.Summary{Standing: gold.Stand(history, set[:n])}
		sum.Append(metric, &gold.Summary{Standing: gold.Stand(history, set[n:])})
		whole := gold.Stand(history, set)
		if sum.Standing.FirstReceived != whole.FirstReceived || sum.Standing.Settled != whole.Settled {
			t.Fatalf("the fold stands as %+v, the union as %+v", sum.Standing, whole)
		}
	})
}

// TestStandingOfVersionsOfOneTime has the cases in which a winner stands since
// another time than it was received.
func TestStandingOfVersionsOfOneTime(t *testing.T) {
	t.Parallel()
	const second = int64(time.Second)
	at := func(seconds int64) int64 { return goldtest.Start + seconds*second }
	v := func(received int64, value float64, change ...func(*gold.Version)) gold.Version {
		out := gold.Version{
			Time: goldtest.Start, Value: value, Epoch: 1, Quality: reading.Actual,
			Stamp: reading.Stamp{Received: at(received), Sequence: uint64(received)},
		}
		for _, c := range change {
			c(&out)
		}
		return out
	}
	judgedBy := func(epoch uint64) func(*gold.Version) { return func(v *gold.Version) { v.Epoch = epoch } }
	quality := func(q reading.Quality) func(*gold.Version) { return func(v *gold.Version) { v.Quality = q } }
	revision := func(r uint64) func(*gold.Version) { return func(v *gold.Version) { v.Revision = r } }
	rejected := func(v *gold.Version) { v.Rejected = true }
	released := func(seconds int64) func(*gold.Version) {
		return func(v *gold.Version) { v.Waived, v.Released = true, at(seconds) }
	}
	flagged := func(v *gold.Version) { v.Flags = 1 }
	h := catalog.NewHistory(map[uint64]int64{1: at(5000), 2: at(100), 3: at(200)})
	for _, tt := range []struct {
		name          string
		versions      []gold.Version
		first, stands int64 // seconds; 0 for never
	}{
		{"a reading stands since it was received", []gold.Version{v(10, 1)}, 10, 10},
		{"nothing stands since never", nil, 0, 0},
		{"a repetition changes nothing", []gold.Version{v(20, 1), v(10, 1), v(90, 1)}, 10, 10},
		{"the later of two stands since it was received", []gold.Version{v(10, 1), v(20, 2)}, 10, 20},
		{"a later estimate changes nothing", []gold.Version{v(10, 1), v(20, 2, quality(reading.Estimated))}, 10, 10},
		{"a correction that overtook stands since it came", []gold.Version{v(10, 2, revision(1)), v(20, 1)}, 10, 10},
		{"a correction stands since it came", []gold.Version{v(10, 1), v(20, 1, quality(reading.Corrected))}, 10, 20},
		{"a revision that says the same changes nothing", []gold.Version{v(10, 1), v(20, 1, revision(1))}, 10, 10},
		{"a withdrawal stands since it came", []gold.Version{v(10, 1), v(20, 0, quality(reading.Withdrawn))}, 10, 20},
		{"a withdrawal of nothing changes nothing", []gold.Version{v(10, 0, quality(reading.Withdrawn))}, 10, 0},
		{"a withdrawal before its reading keeps it out",
			[]gold.Version{v(10, 0, quality(reading.Withdrawn)), v(20, 1)}, 10, 0},
		{"the same judgement by a later epoch changes nothing", []gold.Version{v(10, 1), v(10, 1, judgedBy(2))}, 10, 10},
		{"a flag of a later epoch stands since that", []gold.Version{v(10, 1), v(10, 1, judgedBy(2), flagged)}, 10, 100},
		{"a rejection by a later epoch stands since that",
			[]gold.Version{v(10, 1), v(10, 1, judgedBy(2), rejected)}, 10, 100},
		{"who loses to a rejected one stands since the rejection",
			[]gold.Version{v(10, 1), v(20, 2), v(20, 2, judgedBy(2), rejected)}, 10, 100},
		{"what an epoch admits stands since that, though it was received before",
			[]gold.Version{v(10, 1, judgedBy(2))}, 10, 100},
		{"what was received under an epoch stands since it was received", []gold.Version{v(150, 1, judgedBy(2))}, 150, 150},
		{"what was rejected and is admitted again stands since then",
			[]gold.Version{v(10, 1), v(10, 1, judgedBy(2), rejected), v(10, 1, judgedBy(3))}, 10, 200},
		{"a rejected reading never stood", []gold.Version{v(10, 1, rejected)}, 10, 0},
		{"a released reading stands since its release, though it was received before",
			[]gold.Version{v(10, 1, released(300))}, 10, 300},
		{"of two releases the first one counts", []gold.Version{v(10, 1, released(400)), v(10, 1, released(300))}, 10, 300},
		{"a release of what an epoch took out stands since then",
			[]gold.Version{v(10, 1), v(10, 1, judgedBy(2), rejected), v(10, 1, judgedBy(2), released(300))}, 10, 300},
		{"an epoch that lets pass what was released changes nothing",
			[]gold.Version{v(10, 1, released(150)), v(10, 1, judgedBy(3)),
				v(10, 1, judgedBy(3), released(150), rejected)}, 10, 150},
		{"a reading that outranks a rejected one stands since it came",
			[]gold.Version{v(10, 1), v(150, 2), v(10, 1, judgedBy(2), rejected)}, 10, 150},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := gold.Standing{}
			if tt.first > 0 {
				want.FirstReceived = at(tt.first)
			}
			if tt.stands > 0 {
				want.Settled = at(tt.stands)
				want.FirstSettled, want.LastSettled = want.Settled, want.Settled
			}
			if diff := gocmp.Diff(want, gold.Stand(h, gold.Normalize(tt.versions))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestManyVersionsOfOneTime bounds the work: a minute when it grows with the
// square of the versions.
func TestManyVersionsOfOneTime(t *testing.T) {
	t.Parallel()
	set := make([]gold.Version, 1<<16)
	for i := range set {
		set[i] = gold.Version{
			Time: goldtest.Start, Value: float64(i), Epoch: 1,
			Stamp: reading.Stamp{Received: int64(1 + i), Sequence: uint64(i)},
		}
	}
	done := make(chan gold.Standing)
	go func() { done <- gold.Stand(history, gold.Normalize(set)) }()
	select {
	case got := <-done:
		const last = 1 << 16
		if want := (gold.Standing{FirstReceived: 1, Settled: last, FirstSettled: last, LastSettled: last}); got != want {
			t.Errorf("%+v", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("not done after 20 s")
	}
}
