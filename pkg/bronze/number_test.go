package bronze

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// numberOracle reads the grammar of parseDecimal by means of strconv, which
// takes more than it.
func numberOracle(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) || strings.ContainsAny(s, "xXnNpP_") {
		return 0, false
	}
	return f, true
}

func checkNumber(t interface{ Fatalf(string, ...any) }, s string) {
	got, ok := parseFloat([]byte(s))
	want, wantOK := numberOracle(s)
	if ok != wantOK || math.Float64bits(got) != math.Float64bits(want) {
		t.Fatalf("parseFloat(%q) = %v, %v, want %v, %v", s, got, ok, want, wantOK)
	}
	wantEnd := json.Valid([]byte(s)) && ok && s == strings.TrimSpace(s)
	if end := numberEnd([]byte(s), 0); (end == len(s) && end > 0) != wantEnd {
		t.Fatalf("numberEnd(%q) = %d", s, end)
	}
	checkUint(t, s, ok)
}

// checkUint compares with exact arithmetic.
func checkUint(t interface{ Fatalf(string, ...any) }, s string, number bool) {
	d, _ := parseDecimal([]byte(s))
	if number && (d.point > 40 || d.point < -40) {
		return // too long for the oracle
	}
	want, wantOK := uint64(0), false
	if r, ok := new(big.Rat).SetString(s); ok && number && r.IsInt() && r.Num().IsUint64() {
		want, wantOK = r.Num().Uint64(), true
	}
	got, ok := parseUint([]byte(s))
	if ok && (!wantOK || got != want) {
		t.Fatalf("parseUint(%q) = %d, want %d, %v", s, got, want, wantOK)
	}
	// Twenty digits with an exponent are the only numbers refused that fit.
	if wantOK && !ok && (!strings.ContainsAny(s, "eE+") || want < 1e19) {
		t.Fatalf("parseUint(%q) refused %d", s, want)
	}
}

func TestFloatsAreExact(t *testing.T) {
	t.Parallel()
	t.Run("AsPrinted", rapid.MakeCheck(func(t *rapid.T) {
		f := rapid.Float64().Draw(t, "f")
		format := rapid.SampledFrom([]byte("efg")).Draw(t, "format")
		checkNumber(t, strconv.FormatFloat(f, format, rapid.IntRange(-1, 20).Draw(t, "digits"), 64))
	}))
	t.Run("AsWritten", rapid.MakeCheck(func(t *rapid.T) {
		checkNumber(t, rapid.StringMatching(`[+-]?[0-9]{0,25}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "s"))
	}))
	t.Run("Halfway", rapid.MakeCheck(func(t *rapid.T) {
		f := math.Float64frombits(rapid.Uint64Range(0, math.Float64bits(math.MaxFloat64)-1).Draw(t, "bits"))
		half := new(big.Float).SetPrec(2000).SetFloat64(f)
		half.Add(half, new(big.Float).SetFloat64(math.Nextafter(f, math.Inf(1))))
		checkNumber(t, half.Mul(half, big.NewFloat(0.5)).Text('e', 800))
	}))
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{
		"", "0", "-0", "+1", "1.5", "-12.5e-3", "007", ".5", "5.", ".", "e5", "1e", "1e+", "1e400", "-1e400", "1e-400",
		"9007199254740993", "123456789012345678901234567890", "0.000000000000000000000000000001",
		"18446744073709551615", "18446744073709551616", "18446744073709551615.0", "1.8446744073709551615e19",
		"9007199254740991e22", "9007199254740993e22", "1e23", "3e24", "3e-22", "1e-23", "0x1p4", "1_000", "inf", "NaN", "1e99999999999999999999", "0e99999999999999999999", "1.7976931348623157e308",
		"2.2250738585072011e-308", "5e-324", "2.4703282292062327e-324", "1 ", "--1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkNumber(t, s) })
}

func TestNonFinite(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]float64{
		"NaN": math.NaN(), "nan": math.NaN(), "-NaN": math.NaN(), "Infinity": math.Inf(1), "+inf": math.Inf(1),
		"-Infinity": math.Inf(-1), "-INF": math.Inf(-1),
	} {
		got, ok := parseNonFinite([]byte(s))
		if !ok || math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%q is %v, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "-", "in", "nano", "infinit", "--inf", "infinityy", "1"} {
		if got, ok := parseNonFinite([]byte(s)); ok {
			t.Errorf("%q is %v", s, got)
		}
	}
}
