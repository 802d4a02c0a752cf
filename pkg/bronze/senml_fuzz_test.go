package bronze_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/bronze"
)

// packs are seeds besides the examples of RFC 8428.
var packs = []string{
	examples["5.1.2"], examples["5.1.2 base time"], examples["5.1.3"], examples["5.1.5"], examples["5.1.6"], examples["5.1.7"],
	examples["5.1.7 lights"],
	`[{"bver":26,"bn":"m:","bt":1.7e9,"bu":"Cel","bv":1e3,"bs":0},{"n":"p","t":0.000000001,"v":-0.5,"s":1},{"bn":1},{"n":"x/p","v":1}]`,
	`[{"n":"m/p","v":1,"t":-1e-10},{"bn":"m/","bt":268435455},{"n":"p","t":1,"v":1e308,"bv":1e308},{"bt":"","n":"p","v":1},{"v":1}]`,
	"\ufeff[{\"\\u0062n\":\"\\u006d/\",\"n\":\"p\",\"v\":1,\"x_\":null},{\"n\":\"p\",\"v\":null},7,{},{\"bn\":null},{\"bver\":11}]",
	`[{"bn":"a/","x_":1,"bt":1e9},{"n":"p","v":1,"u":"%RH"},{"n":"p","v":1,"u":7},{"ut":1},{"bx_":1,"n":"p","v":1},{"n":"p","v":1}]`,
	`[{"bn":"m/","n":"p","v":1e400,"bv":-1e400}]`,
}

// FuzzSenML holds Decode equal to an oracle over encoding/json.
func FuzzSenML(f *testing.F) {
	for _, s := range packs {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) { checkSenML(t, t, payload) })
}

func checkSenML(tb testing.TB, t interface{ Fatalf(string, ...any) }, payload []byte) {
	tb.Helper()
	got, unknown := decode(tb, senml, payload)
	stream, _ := decode(tb, sensml, payload)
	want, unknownWant, ok := senmlOracle(payload)
	if !ok {
		return
	}
	if len(got) != len(want) || len(stream) != len(want) || unknown != unknownWant {
		t.Fatalf("%q is %+v with %d unknown fields, want %+v with %d", payload, got, unknown, want, unknownWant)
	}
	for i := range want {
		fault := want[i].Payload
		switch {
		case got[i].Fault != stream[i].Fault || !sameOrNaN(got[i], stream[i]):
			t.Fatalf("%q at %d is %+v, as a stream %+v", payload, i, got[i], stream[i])
		case (got[i].Fault != "") != (fault != ""):
			t.Fatalf("%q at %d is %+v, want %+v", payload, i, got[i], want[i])
		case !sameOrNaN(got[i], want[i]):
			t.Fatalf("%q at %d is %+v, want %+v", payload, i, got[i], want[i])
		case len(fault) < bronze.MaxExcerpt && !strings.HasPrefix(got[i].Payload, fault):
			t.Fatalf("%q at %d refuses %q, want %q", payload, i, got[i].Payload, fault)
		}
	}
}

// sameOrNaN compares readings; the bits of a NaN are the processor's.
func sameOrNaN(a, b outcome) bool {
	if a.Fault != "" {
		return true
	}
	if math.IsNaN(a.Reading.Value) && math.IsNaN(b.Reading.Value) {
		a.Reading.Value, b.Reading.Value = 0, 0
	}
	return sameBits(a.Reading, b.Reading)
}

func TestSenMLEqualsOracle(t *testing.T) {
	t.Parallel()
	for _, s := range packs {
		checkSenML(t, t, []byte(s))
	}
	tb := t
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	text := rapid.Map(rapid.OneOf(
		rapid.SampledFrom([]string{"m/", "m:", "/p", "p", "a:b/", "W", "Cel", "%", "%RH", "/", "", "10e2", "beef", "2001:db8::"}),
		rapid.StringMatching(`[a-z0-9:/\-]{0,6}`), rapid.String(),
	), quote)
	seconds := rapid.OneOf(
		rapid.Map(rapid.Int64Range(-1e10, 1e10), func(n int64) string { return strconv.FormatInt(n, 10) }),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,12})?([eE][+-]?[0-9])?`),
		rapid.Map(rapid.IntRange(-2, 2), func(n int) string { return strconv.Itoa(1<<28 + n) }),
	)
	float := rapid.Map(rapid.Float64(), func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) })
	versions := rapid.SampledFrom([]string{"10", "26", "5", "1e1", "26.0", "11", "0", `"10"`, "null"})
	other := rapid.SampledFrom([]string{"null", "true", "{}", "[1]", `"x"`, "1"})
	right := map[string]*rapid.Generator[string]{
		"bn": text, "n": text, "bu": text, "u": text, "bt": seconds, "t": seconds, "bv": float, "v": float,
	}
	labels := rapid.SampledFrom([]string{"bn", "n", "bu", "u", "bt", "t", "bv", "v", "bn", "n", "t", "v", "v"})
	rare := rapid.SampledFrom([]string{"bver", "bs", "s", "vs", "vb", "vd", "ut", "x", "x_", "bx", "bx_", `\u0062n`, "bn", "bt", "bu", "bv"})
	rapid.Check(t, func(t *rapid.T) {
		var records []string
		for range rapid.IntRange(0, 6).Draw(t, "records") {
			var members []string
			for range rapid.IntRange(0, 5).Draw(t, "members") {
				label := labels.Draw(t, "label")
				value := right[label].Draw(t, "value")
				if rapid.IntRange(0, 15).Draw(t, "rare") == 0 {
					label, value = rare.Draw(t, "rare label"), other.Draw(t, "other value")
				}
				if label == "bver" {
					value = versions.Draw(t, "version")
				}
				members = append(members, fmt.Sprintf(`"%s" :%s`, label, value))
			}
			records = append(records, "{"+strings.Join(members, ", ")+"}")
		}
		checkSenML(tb, t, []byte("["+strings.Join(records, " ,")+"]"))
	})
}
