package gold_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
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
			Released: rapid.OneOf(rapid.Just(int64(0)), rapid.Int64()).Draw(t, "released"),
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

// FuzzDecode holds that there are no other bytes for a set than those of Encode: what
// decodes encodes to the same bytes (invariant 2).
func FuzzDecode(f *testing.F) {
	for _, set := range goldenSets() {
		samples, stamps := gold.Encode(goldtest.Start, set)
		f.Add(samples, stamps)
	}
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f}, []byte{1})
	f.Add([]byte{}, []byte{})
	f.Fuzz(checkDecode)
}

func checkDecode(t *testing.T, samples, stamps []byte) {
	t.Helper()
	versions, err := gold.Decode(goldtest.Start, samples, stamps)
	if err != nil {
		if !errors.Is(err, gold.ErrCorrupt) {
			t.Fatalf("%v is not ErrCorrupt", err)
		}
		return
	}
	again, againStamps := gold.Encode(goldtest.Start, versions)
	if !bytes.Equal(again, samples) || !bytes.Equal(againStamps, stamps) {
		t.Fatalf("%x %x\ndecodes to %+v,\nwhich encodes to\n%x %x", samples, stamps, versions, again, againStamps)
	}
	if !gold.Equal(versions, gold.Normalize(slices.Clone(versions))) {
		t.Fatalf("%x decodes to a set that is not normalized: %+v", samples, versions)
	}
}

// TestDamagedBytesAreRefusedOrCanonical damages each byte of encodings in every
// way that one bit or one byte more or less can.
func TestDamagedBytesAreRefusedOrCanonical(t *testing.T) {
	t.Parallel()
	sets := goldenSets()
	delete(sets, "seconds") // long, with no part that "mixed" lacks
	for name, set := range sets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			samples, stamps := gold.Encode(goldtest.Start, set)
			for _, damaged := range damages(samples) {
				checkDecode(t, damaged, stamps)
			}
			for _, damaged := range damages(stamps) {
				checkDecode(t, samples, damaged)
			}
		})
	}
}

func damages(whole []byte) (all [][]byte) {
	for i := range whole {
		for bit := range 8 {
			b := slices.Clone(whole)
			b[i] ^= 1 << bit
			all = append(all, b)
		}
		all = append(all, whole[:i], slices.Delete(slices.Clone(whole), i, i+1),
			slices.Insert(slices.Clone(whole), i, 0), slices.Insert(slices.Clone(whole), i, 0x80))
	}
	return append(all, append(slices.Clone(whole), 0))
}

// TestOtherBytesForASetAreRefused writes sets as Encode does not.
func TestOtherBytesForASetAreRefused(t *testing.T) {
	t.Parallel()
	const head = "\x01\x01\x00" // one version, no columns
	tests := []struct{ name, samples, stamps, detail string }{
		{"another format", "\x02\x00", "\x01", "format 2"},
		{"a varint with a byte too many", "\x01\x80\x00", "\x01", "bad integer"},
		{"too many versions", "\x01\x81\x80\x04", "\x01", "65537 versions"},
		{"a smaller unit than need be", head + "\x00\x00\x00\x00", "\x01", "unit"},
		{"a greater exponent than need be", head + "\x04\x00\x01\x14", "\x01", "exponent"},
		{"bits of what a decimal gives", head + "\x04\x00\xff\x00\x00\x00\x00\x00\x00\xf0\x3f", "\x01", "exponent"},
		{"minus zero", head + "\x04\x00\xff\x00\x00\x00\x00\x00\x00\x00\x80", "\x01", "a value that no version has"},
		{"no number", head + "\x04\x00\xff\x00\x00\x00\x00\x00\x00\xf8\x7f", "\x01", "a value that no version has"},
		{"a column of zeros", "\x01\x01\x01\x04\x00\x00\x00\x00\x00", "\x01", "column of zeros"},
		{"a column that there is not", "\x01\x01\x40\x04\x00\x00\x00", "\x01", "columns"},
		{"two equal versions", "\x01\x02\x00\x04\x00\x00\x00\x00\x00", "\x01", "out of order"},
		{"versions that descend", "\x01\x02\x00\x04\x02\x01\x00\x00\x00", "\x01", "out of order"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := gold.Decode(goldtest.Start, []byte(tt.samples), []byte(tt.stamps))
			if !errors.Is(err, gold.ErrCorrupt) || !strings.Contains(err.Error(), tt.detail) {
				t.Errorf("got %v, want corrupt with %q", err, tt.detail)
			}
		})
	}
}

//nolint:paralleltest // allocations of other tests would count
func TestEncodeTakesNoMemoryForAVersion(t *testing.T) {
	for name, versions := range benchRows() {
		b := make([]byte, 0, 1<<14)
		n := testing.AllocsPerRun(20, func() {
			b = gold.AppendStamps(gold.AppendSamples(b[:0], goldtest.Start, versions), goldtest.Start, versions)
		})
		if n != 0 {
			t.Errorf("%s: %g allocations", name, n)
		}
	}
}
