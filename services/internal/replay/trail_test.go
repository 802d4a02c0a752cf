package replay

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/reading"
)

// TestTrail holds a trail against a set of what was added, in order and out of order:
// a reading is found by its stamp or with its message, in its partition or in all.
func TestTrail(t *testing.T) {
	t.Parallel()
	type message struct {
		partition int
		stamp     reading.Stamp
	}
	draw := rapid.Custom(func(t *rapid.T) message {
		return message{rapid.IntRange(-1, 2).Draw(t, "partition"), reading.Stamp{
			Stream: rapid.Uint32Range(0, 1).Draw(t, "stream"), Sequence: rapid.Uint64Range(1, 2000).Draw(t, "sequence"),
			Received: rapid.Int64Range(1, 2).Draw(t, "received"),
			Index:    rapid.SampledFrom([]uint32{0, 1, 2, everyIndex}).Draw(t, "index"),
		}}
	})
	rapid.Check(t, func(rt *rapid.T) {
		trail, err := NewTrail(t.TempDir())
		if err != nil {
			rt.Fatal(err)
		}
		defer trail.Close()
		added := make(map[message]bool)
		add := func(m message) {
			added[m] = true
			if err := trail.add(refined, m.partition, m.stamp); err != nil {
				rt.Fatal(err)
			}
		}
		for n := range rapid.IntRange(0, 1000).Draw(rt, "in order") {
			add(message{-1, reading.Stamp{Sequence: uint64(2*n + 1), Received: int64(n)}})
		}
		for _, m := range rapid.SliceOfN(draw, 0, 300).Draw(rt, "out of order") {
			add(m)
		}
		for n := range 2 {
			for _, m := range rapid.SliceOfN(draw, 0, 300).Draw(rt, "asked") {
				want := false
				for _, partition := range []int{m.partition, everyPartition} {
					for _, index := range []uint32{m.stamp.Index, everyIndex} {
						one := m
						one.partition, one.stamp.Index = partition, index
						want = want || added[one]
					}
				}
				if got, err := trail.Has(m.partition, m.stamp); got != want || err != nil {
					rt.Fatalf("%+v is there: %t, want %t: %v", m, got, want, err)
				}
			}
			for m := range added {
				if got, err := trail.Has(m.partition, m.stamp); !got || err != nil {
					rt.Fatalf("%+v is not found: %v", m, err)
				}
			}
			add(message{n, reading.Stamp{Sequence: 5, Received: 77}})
		}
	})
}
