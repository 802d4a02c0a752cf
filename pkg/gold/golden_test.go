package gold_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenSets are sets that together use every part of the encoding.
func goldenSets() map[string][]gold.Version {
	minute := func(i int, value float64) gold.Version {
		return gold.Version{
			Time: goldtest.Start + int64(i)*int64(time.Minute), Value: value, Length: time.Minute, Epoch: 1,
			Stamp: reading.Stamp{Received: goldtest.Start + int64(time.Hour) + 7, Sequence: 678, Index: uint32(3 + 7*i)},
		}
	}
	var minutes, thirds, mixed []gold.Version
	for i, value := range []float64{
		4.216, 5.36, 5.374, 5.388, 3.666, 3.52, 3.702, 3.7, 3.668, 3.662, 4.448, 5.412, 5.224, 5.268, 4.054,
	} {
		v := minute(i, value)
		minutes = append(minutes, v)
		v.Value /= 3
		v.Time += int64(i * i)
		thirds = append(thirds, v)
		v.Stamp.Received, v.Stamp.Sequence, v.Stamp.Index = v.Time+int64(i*7919), uint64(100+3*i), 0
		v.Quality, v.Revision = reading.Quality(i%5), uint64(i/4)
		v.Exchange, v.ExchangeStart = i%3 == 0, float64(i%2)/7
		v.Flags, v.Rejected, v.Waived = reading.Rules(i&2), i == 4, i == 5
		mixed = append(mixed, v, minutes[i])
	}
	mixed = append(mixed, gold.Version{
		Time: math.MaxInt64, Value: math.MaxFloat64, Revision: math.MaxUint64, Length: math.MaxInt64,
		Flags: math.MaxUint64, Epoch: math.MaxUint64, Quality: reading.Withdrawn,
		Stamp: reading.Stamp{
			Received: math.MinInt64, Sequence: math.MaxUint64, Stream: math.MaxUint32, Index: math.MaxUint32,
		},
	}, gold.Version{Time: math.MinInt64, Value: 5e-324})
	var released []gold.Version
	for i := range 4 {
		v := minute(i, 1000+float64(i))
		v.Flags, v.Waived = v.Flags.With(reading.OutOfRange), i != 1
		v.Released = goldtest.Start + int64(72*time.Hour) + int64(i/2)
		released = append(released, v)
	}
	sets := map[string][]gold.Version{
		"empty": nil, "released": released, "one": {minute(0, 0.1)}, "zeros": {minute(0, 0), minute(1, 0), minute(2, 0)},
		"minutes": minutes, "thirds": thirds, "mixed": mixed, "seconds": benchRows()["seconds"],
	}
	for name, set := range sets {
		sets[name] = gold.Normalize(slices.Clone(set))
	}
	return sets
}

// TestGoldenBytes holds the stored form still: rows written today must be read tomorrow,
// and equal sets must have equal bytes on every build (invariant 7).
func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	sets := goldenSets()
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		samples, stamps := gold.Encode(goldtest.Start, sets[name])
		fmt.Fprintf(&got, "%s\nsamples %s\nstamps %s\n\n", name, hex.EncodeToString(samples), hex.EncodeToString(stamps))
		back, err := gold.Decode(goldtest.Start, samples, stamps)
		if err != nil || !gold.Equal(back, sets[name]) {
			t.Errorf("%s does not come back: %v", name, err)
		}
	}
	golden := filepath.Join("testdata", "encodings.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the stored form has changed (-want +got):\n%s", diff)
	}
}

// foldsVariable holds the bits of another build's statistics.
const foldsVariable = "ENERGY_TEST_FOLDS"

// TestEveryBuildHasTheSameBits runs the golden test, and the folds of a million products,
// in a build that has fused multiply-add (invariant 2).
func TestEveryBuildHasTheSameBits(t *testing.T) {
	folds := bitsOfFolds()
	if other := os.Getenv(foldsVariable); other != "" {
		if other != folds {
			t.Errorf("statistics have bits %s, in another build %s", folds, other)
		}
		return
	}
	t.Parallel()
	if runtime.GOARCH != "amd64" {
		t.Skip("GOAMD64 is for amd64")
	}
	const tests = "^(TestGoldenBytes|TestEveryBuildHasTheSameBits)$"
	run := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run="+tests, ".")
	run.Env = append(os.Environ(), "GOAMD64=v3", foldsVariable+"="+folds)
	out, err := run.CombinedOutput()
	if bytes.Contains(out, []byte("can only be run on AMD64 processors with v3")) {
		t.Skip("this processor has no fused multiply-add")
	}
	if err != nil {
		t.Errorf("GOAMD64=v3: %v\n%s", err, out)
	}
}

// bitsOfFolds returns a hash over the bits of statistics of many readings.
func bitsOfFolds() string {
	random, h := rand.New(rand.NewPCG(1, 2)), fnv.New64a()
	for _, m := range metrics {
		for range 200 {
			var vs []gold.Version
			for at := int64(0); len(vs) < 50; at += random.Int64N(int64(time.Hour)) {
				vs = append(vs, gold.Version{
					Time: at, Value: random.NormFloat64() * 100, Length: time.Duration(random.Int64N(int64(time.Hour))),
					Quality: reading.Quality(random.IntN(4)),
				})
			}
			fmt.Fprintf(h, "%x", gold.Fold(m, vs, vs[len(vs)-1].Time+int64(time.Minute)))
		}
	}
	return fmt.Sprintf("%016x", h.Sum64())
}
