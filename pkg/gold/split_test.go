package gold_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
)

// burst draws a set whose times crowd around one second of a window.
func burst(t *rapid.T, width time.Duration) []gold.Version {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	spread := rapid.SampledFrom([]time.Duration{1, time.Second, 10 * time.Second, width}).Draw(t, "spread")
	at := random.Int64N(int64(width - spread + 1))
	vs := make([]gold.Version, rapid.IntRange(0, 1200).Draw(t, "versions"))
	for i := range vs {
		vs[i] = gold.Version{Time: goldtest.Start + at + random.Int64N(int64(spread)), Value: float64(i)}
	}
	return vs
}

func TestSplit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]time.Duration{time.Minute, 15 * time.Minute, time.Hour}).Draw(t, "width")
		some := gold.Normalize(burst(t, width))
		all := gold.Merge(some, gold.Normalize(burst(t, width)))
		coarse, fine := gold.Split(goldtest.Start, width, some), gold.Split(goldtest.Start, width, all)
		checkParts(t, width, some, coarse)
		checkParts(t, width, all, fine)
		for _, f := range fine { // a part lies inside one of each smaller set's
			for _, c := range coarse {
				if f.Start < c.Start+int64(c.Width) && c.Start < f.Start+int64(f.Width) &&
					(f.Start < c.Start || f.Start+int64(f.Width) > c.Start+int64(c.Width)) {
					t.Fatalf("part %d %s lies across %d %s", f.Start, f.Width, c.Start, c.Width)
				}
			}
		}
	})
}

func checkParts(t *rapid.T, width time.Duration, set []gold.Version, parts []gold.Part) {
	if len(set) <= gold.PartVersions {
		if parts != nil {
			t.Fatalf("%d versions in %d parts", len(set), len(parts))
		}
		return
	}
	var joined []gold.Version
	end := goldtest.Start
	for _, p := range parts {
		if p.Start < end || p.Width < time.Second || p.Width%time.Second != 0 || len(p.Versions) == 0 ||
			len(p.Versions) > gold.PartVersions && p.Width > time.Second {
			t.Fatalf("a part of %d versions from %d for %s, after %d", len(p.Versions), p.Start, p.Width, end)
		}
		end = p.Start + int64(p.Width)
		for _, v := range p.Versions {
			if v.Time < p.Start || v.Time >= end {
				t.Fatalf("%d lies outside its part, %d to %d", v.Time, p.Start, end)
			}
		}
		joined = append(joined, p.Versions...)
	}
	if end > goldtest.Start+int64(width) || !gold.Equal(joined, set) {
		t.Fatalf("parts of %d versions up to %d, not %d", len(joined), end, len(set))
	}
}

func TestSplitHalvesByWholeSeconds(t *testing.T) {
	t.Parallel()
	var vs []gold.Version
	for i := range 900 { // one a second, and 300 more in the second 899
		vs = append(vs, gold.Version{Time: goldtest.Start + int64(i)*int64(time.Second)})
	}
	for i := range 300 {
		vs = append(vs, gold.Version{Time: goldtest.Start + int64(899*time.Second) + int64(i+1)})
	}
	got := map[time.Duration]int{}
	for _, p := range gold.Split(goldtest.Start, 15*time.Minute, vs) {
		got[time.Duration(p.Start-goldtest.Start)/time.Second*1e6+p.Width/time.Second] = len(p.Versions)
	}
	want := map[time.Duration]int{ // start × 10⁶ + width, in seconds
		225: 225, 225000225: 225, 450000225: 225, 675000112: 112, 787000056: 56, 843000028: 28,
		871000014: 14, 885000007: 7, 892000004: 4, 896000002: 2, 898000001: 1, 899000001: 301,
	}
	for part, n := range want {
		if got[part] != n {
			t.Errorf("part %d has %d versions, want %d; all: %v", part, got[part], n, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d parts, want %d: %v", len(got), len(want), got)
	}
}
