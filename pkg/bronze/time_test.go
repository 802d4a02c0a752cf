package bronze

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTimes(t *testing.T) {
	t.Parallel()
	const noon = 1769860800 // 2026-01-31T12:00:00Z
	cases := map[string]int64{
		"2026-01-31T12:00:00Z":                  noon * 1e9,
		"2026-01-31t12:00:00z":                  noon * 1e9,
		"2026-01-31 12:00:00+00:00":             noon * 1e9,
		"2026-01-31T12:00:00-00:00":             noon * 1e9,
		"2026-01-31T13:30:00+01:30":             noon * 1e9,
		"2026-01-30T12:01:00-23:59":             noon * 1e9,
		"2026-01-31T12:00:00.5Z":                noon*1e9 + 5e8,
		"2026-01-31T12:00:00.123456789Z":        noon*1e9 + 123456789,
		"2026-01-31T12:00:00.1234567899999Z":    noon*1e9 + 123456789,
		"1969-12-31T23:59:59.999999999Z":        -1,
		"1677-09-21T00:12:43.145224192Z":        math.MinInt64,
		"2262-04-11T23:47:16.854775807Z":        math.MaxInt64,
		"2000-02-29T00:00:00Z":                  951782400e9,
		"1769860800":                            noon * 1e9,
		"1769860800.5":                          noon*1e9 + 5e8,
		"1769860800.123456789":                  noon*1e9 + 123456789,
		"1769860800.1234567899":                 noon*1e9 + 123456789,
		"1769860800.123456789012345678901":      noon*1e9 + 123456789,
		"1.7698608e9":                           noon * 1e9,
		"1769860800123":                         noon*1e9 + 123e6,
		"1769860800123.456":                     noon*1e9 + 123456e3,
		"1769860800123456":                      noon*1e9 + 123456e3,
		"1769860800123456789":                   noon*1e9 + 123456789,
		"1769860800123456789.9":                 noon*1e9 + 123456789,
		"0":                                     0,
		"-0.0e99":                               0,
		"-1":                                    -1e9,
		"-0.5":                                  -5e8,
		"-0.0000000001":                         -1,
		"0.0000000001":                          0,
		"1e-30":                                 0,
		"-9223372036854775808":                  math.MinInt64,
		"9223372036854775807":                   math.MaxInt64,
		"9223372036":                            9223372036e9,
		"-9223372036":                           -9223372036e9,
		"100000000000":                          1e17,
		"100000000000000":                       1e17,
		"100000000000000000":                    1e17,
		"9223372036854":                         9223372036854e6,
		"9223372036854775":                      9223372036854775e3,
		"0.00000000000000000000000000000000001": 0,
	}
	for s, want := range cases {
		if got, err := parseTime([]byte(s)); err != nil || got != want {
			t.Errorf("%s is %d, %v, want %d", s, got, err, want)
		}
	}
	for s, want := range map[string]error{
		"": errTimeForm, "now": errTimeForm, "2026-01-31": errTimeForm, "2026-01-31T12:00Z": errTimeForm,
		"2026-01-31T12:00:00.Z": errTimeForm, "2026-01-31T12:00:00,5Z": errTimeForm,
		"2026-01-31T12:00:00+0100": errTimeForm, "2026-01-31T12:00:00 Z": errTimeForm, "31.01.2026 12:00:00": errTimeForm,
		"2026-01-31T12:00:00": errTimeZone, "2026-01-31 12:00:00.5": errTimeZone,
		"2026-02-29T12:00:00Z": errTimeDate, "2026-13-01T12:00:00Z": errTimeDate, "2026-00-01T12:00:00Z": errTimeDate,
		"2026-01-00T12:00:00Z": errTimeDate, "2026-01-31T24:00:00Z": errTimeDate, "2026-01-31T12:60:00Z": errTimeDate,
		"2026-01-31T12:00:61Z": errTimeDate, "2026-01-31T12:00:00+24:00": errTimeDate,
		"1677-09-21T00:12:43.145224191Z": errTimeRange, "2262-04-11T23:47:16.854775808Z": errTimeRange,
		"0000-01-01T00:00:00Z": errTimeRange, "9999-12-31T23:59:59Z": errTimeRange,
		"9223372037": errTimeRange, "99999999999": errTimeRange, "9223372036854775808": errTimeRange,
		"-9223372036854775808.5": errTimeRange, "-9223372036854775809": errTimeRange, "1e99": errTimeRange,
		"99999999999999": errTimeRange, "99999999999999999": errTimeRange, "123456789012345678901": errTimeRange,
	} {
		if got, err := parseTime([]byte(s)); !errors.Is(err, want) {
			t.Errorf("%s is %d, %v, want %v", s, got, err, want)
		}
	}
	if _, err := parseTime([]byte("2016-12-31T23:59:60Z")); err == nil || !strings.Contains(err.Error(), "leap second") {
		t.Errorf("a leap second: %v", err)
	}
}

// checkTime compares with package time, and epochs with exact arithmetic.
func checkTime(t interface{ Fatalf(string, ...any) }, s string) {
	got, err := parseTime([]byte(s))
	if d, ok := parseDecimal([]byte(s)); ok {
		if d.point > 100 || d.point < -100 || len(s) > 1000 {
			return // too long for the oracle
		}
		if want, ok := epochOracle(s); ok != (err == nil) || got != want {
			t.Fatalf("parseTime(%q) = %d, %v, want %d, %v", s, got, err, want, ok)
		}
		return
	}
	want, wantErr := time.Parse(time.RFC3339Nano, strings.Replace(strings.ToUpper(s), " ", "T", 1))
	switch {
	case err == nil && (wantErr != nil || want.UnixNano() != got || want.Year() < 1677 || want.Year() > 2262):
		t.Fatalf("parseTime(%q) = %d, want %v, %v", s, got, want, wantErr)
	case err != nil && wantErr == nil && timeOracleHolds(s, want):
		t.Fatalf("parseTime(%q): %v, want %v", s, err, want)
	}
}

// timeOracleHolds reports whether s, which package time takes for want, is one
// that RFC 3339 allows and int64 holds.
func timeOracleHolds(s string, want time.Time) bool {
	lax := strings.Contains(s, ",") || len(s) < len("2026-01-31T12:00:00Z") || // package time allows a comma and one-digit hours
		s[13] != ':' || strings.Contains(s, "+24:") || strings.Contains(s, "-24:") || strings.HasSuffix(s, ":60")
	return !lax && want.Equal(time.Unix(0, want.UnixNano()))
}

// epochOracle is epoch in rationals.
func epochOracle(s string) (int64, bool) {
	v, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, false
	}
	size, unit := new(big.Rat).Abs(v), int64(1)
	for _, u := range []struct{ below, unit int64 }{{1e17, 1e3}, {1e14, 1e6}, {1e11, 1e9}} {
		if size.Cmp(new(big.Rat).SetInt64(u.below)) < 0 {
			unit = u.unit
		}
	}
	v.Mul(v, new(big.Rat).SetInt64(unit))
	floor := new(big.Int).Div(v.Num(), v.Denom()) // Euclidean; the denominator is positive
	if !floor.IsInt64() {
		return 0, false
	}
	return floor.Int64(), true
}

func TestTimesAreExact(t *testing.T) {
	t.Parallel()
	t.Run("RFC3339", rapid.MakeCheck(func(t *rapid.T) {
		ns := rapid.Int64().Draw(t, "ns")
		zone := time.FixedZone("", rapid.IntRange(-1439, 1439).Draw(t, "offset")*60)
		s := time.Unix(0, ns).In(zone).Format(time.RFC3339Nano)
		if got, err := parseTime([]byte(s)); err != nil || got != ns {
			t.Fatalf("%s is %d, %v, want %d", s, got, err, ns)
		}
	}))
	t.Run("Written", rapid.MakeCheck(func(t *rapid.T) {
		checkTime(t, rapid.StringMatching(
			`[0-2][0-9]{3}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,12})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])`,
		).Draw(t, "s"))
	}))
	t.Run("Epoch", rapid.MakeCheck(func(t *rapid.T) {
		checkTime(t, rapid.StringMatching(`-?[0-9]{1,22}(\.[0-9]{1,22})?([eE][+-]?[0-9])?`).Draw(t, "s"))
	}))
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{
		"2026-01-31T12:00:00Z", "2026-01-31t12:00:00.123456789+01:00", "1677-09-21T00:12:43.145224192Z",
		"2262-04-11T23:47:16.854775808Z", "0000-02-29T00:00:00Z", "2016-12-31T23:59:60Z", "1700000000.5", "1700000000000",
		"-0.0000000001", "9223372036854775807", "1e11", "99999999999.999999999", "1.5e-3", "2026-01-31", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkTime(t, s) })
}

func TestLengths(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{
		"15m": 15 * time.Minute, "1h0m0.5s": time.Hour + 500*time.Millisecond, "0": 0, "0s": 0, "900": 15 * time.Minute,
		"-0": 0, "0.5": 500 * time.Millisecond, "1e3": 1000 * time.Second, "PT15M": 15 * time.Minute,
		"PT0S": 0, "P1D": 24 * time.Hour, "P1W": 168 * time.Hour, "P1DT12H30M5.25S": 36*time.Hour + 30*time.Minute + 5250*time.Millisecond,
		"PT0.25H": 15 * time.Minute, "PT9223372036.854775807S": math.MaxInt64, "9223372036.854775807": math.MaxInt64,
		"PT0.000000001S": 1,
	} {
		if got, ok := parseLength([]byte(s), new(names)); !ok || got != want {
			t.Errorf("%s is %v, %v, want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{
		"", "-15m", "-1", "15 m", "P", "PT", "P1", "P1DT", "PT1", "P1M", "P1Y", "P1H", "PT1D", "PT1M1H", "PT1H1H", "PTT1H",
		"PT1.5H30M", "-PT15M", "PT-15M", "PT+15M", "PT.S", "PT1e3S", "PT9223372036.854775808S", "9223372036.854775808",
		"P106752D", "P99999999999999999999W", "PT0.0000000001S", "pt15m", "1e300", "NaN", "quarter",
	} {
		if got, ok := parseLength([]byte(s), new(names)); ok {
			t.Errorf("%q is %v", s, got)
		}
	}
}

// FuzzLength holds ISO 8601 equal to Go's form, spelled out.
func FuzzLength(f *testing.F) {
	for _, s := range []string{"15m", "PT15M", "P1DT2H3M4.5S", "P1W", "900.5", "-1h", "PT9223372036.854775807S"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseLength([]byte(s), new(names))
		if ok && got < 0 {
			t.Fatalf("parseLength(%q) = %v", s, got)
		}
		clock, found := strings.CutPrefix(s, "PT")
		if !found || !ok {
			return
		}
		if want, err := time.ParseDuration(strings.ToLower(clock)); err != nil || want != got {
			t.Fatalf("parseLength(%q) = %v, want %v, %v", s, got, want, err)
		}
	})
}

func TestISOLengthsAreExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "ns"))
		h, m, s := want/time.Hour, want%time.Hour/time.Minute, want%time.Minute
		text := fmt.Sprintf("P%dDT%dH%dM%sS", h/24, h%24, m, strconv.FormatFloat(s.Seconds(), 'f', 9, 64))
		if got, ok := parseLength([]byte(text), new(names)); !ok || got != want {
			t.Fatalf("%s is %v, %v, want %v", text, got, ok, want)
		}
	})
}
