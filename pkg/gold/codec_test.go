package gold_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
)

// anyVersion draws from the whole range of every field.
func anyVersion() *rapid.Generator[gold.Version] {
	return rapid.Custom(func(t *rapid.T) gold.Version {
		return gold.Version{
			Time:     rapid.Int64().Draw(t, "time"),
			Value:    rapid.Float64().Draw(t, "value"),
			Revision: rapid.Uint64().Draw(t, "revision"),
			Length:   time.Duration(rapid.Int64Min(0).Draw(t, "length")),
			Flags:    reading.Rules(rapid.Uint64().Draw(t, "flags")),
			Epoch:    rapid.Uint64().Draw(t, "epoch"),
			Quality:  reading.Quality(rapid.IntRange(0, 4).Draw(t, "quality")),
			Exchange: rapid.Bool().Draw(t, "exchange"), ExchangeStart: rapid.Float64().Draw(t, "start"),
			Rejected: rapid.Bool().Draw(t, "rejected"),
			Waived:   rapid.Bool().Draw(t, "waived"),
			Stamp: reading.Stamp{
				Received: rapid.Int64().Draw(t, "received"), Sequence: rapid.Uint64().Draw(t, "sequence"),
				Stream: rapid.Uint32().Draw(t, "stream"), Index: rapid.Uint32().Draw(t, "index"),
			},
		}
	})
}

func TestCodecRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		generator := rapid.SampledFrom([]*rapid.Generator[gold.Version]{anyVersion(), goldtest.Version(time.Hour)}).
			Draw(t, "universe")
		want := gold.Normalize(rapid.SliceOf(generator).Draw(t, "versions"))
		samples, stamps := gold.Encode(goldtest.Start, want)
		got, err := gold.Decode(goldtest.Start, samples, stamps)
		if err != nil {
			t.Fatal(err)
		}
		bits := func(vs []gold.Version) (out []uint64) {
			for _, v := range vs {
				out = append(out, math.Float64bits(v.Value))
			}
			return out
		}
		if !slices.Equal(bits(want), bits(got)) || !gold.Equal(want, got) {
			t.Fatalf("not the same:\n%s", cmp.Diff(want, got))
		}
	})
}

func FuzzDecode(f *testing.F) {
	samples, stamps := gold.Encode(0, gold.Normalize([]gold.Version{
		{Time: 1, Value: 0.1, Epoch: 1}, {Time: 2, Value: math.Pi, Epoch: 1, Stamp: reading.Stamp{Sequence: 3}}}))
	f.Add(samples, stamps)
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f}, []byte{1})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, samples, stamps []byte) {
		versions, err := gold.Decode(0, samples, stamps)
		if err != nil {
			if !errors.Is(err, gold.ErrCorrupt) {
				t.Fatalf("%v is not ErrCorrupt", err)
			}
			return
		}
		again, againStamps := gold.Encode(0, versions)
		back, err := gold.Decode(0, again, againStamps)
		if err != nil || len(back) != len(versions) {
			t.Fatalf("decoded %d versions, encoded and decoded again %d: %v", len(versions), len(back), err)
		}
	})
}

// TestGoldenBytes holds the stored form still: rows written today must be read
// tomorrow, and equal sets must have equal bytes on every build.
func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	minute := int64(time.Minute)
	stamp := reading.Stamp{Received: start + 5, Sequence: 7}
	set := gold.Normalize([]gold.Version{
		{Time: start, Value: 4.216, Length: time.Minute, Quality: reading.Actual, Epoch: 1, Stamp: stamp},
		{Time: start + minute, Value: 5.36, Length: time.Minute, Quality: reading.Estimated, Epoch: 1, Stamp: stamp},
	})
	samples, stamps := gold.Encode(start, set)
	wantSamples := []byte{
		1, 2, // format, versions
		0, 0x80, 0xe0, 0xba, 0x84, 0xbf, 0x3, // times
		3, 0xf0, 0x41, 0xf0, 0x11, // three decimals: 4216, +1144
		1, 1, 1, 2, // quality
		2, 0, // revision
		2, 0x80, 0xb0, 0x9d, 0xc2, 0xdf, 0x1, // length
		2, 1, // epoch
		2, 0, 2, 0, 2, 0, // flags, judgement, exchange start
	}
	if !bytes.Equal(samples, wantSamples) {
		t.Errorf("samples are\n%#v, want\n%#v", samples, wantSamples)
	}
	wantStamps := []byte{1, 2, 0x8a, 0x80, 0xd0, 0xdf, 0xbd, 0x94, 0xb9, 0x86, 0x31, 0xe, 0, 0, 0}
	if !bytes.Equal(stamps, wantStamps) {
		t.Errorf("stamps are\n%#v, want\n%#v", stamps, wantStamps)
	}
}
