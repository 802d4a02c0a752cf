package bronze_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/bronze"
)

var objects = []string{
	`{"entity_id":"m1","metric":"p","time":"2026-01-31T12:00:00Z","value":12.5,"unit":"kWh","quality":"actual"}`,
	`{"entity":"m1","metric":"p","ts":1769860800.5,"value":"-1e-3","revision":7,"length":"PT15M"}`,
	`{"entity":"m1","metric":"e","ts":1769860800,"value":99998.5,"exchange_start":"0.5"}`,
	`{"timestamp":"1769860800123","value":"NaN","length":900,"x":{"y":[1,{"z":null}]},"quality":null}`,
	`{"ts":0,"value":1,"value":[],"entity":"\ud83d\ude00\n","unit":"m³"}`,
	`{"quality":"withdrawn","time":"1969-12-31 23:59:59.999999999+01:30"}`,
	"\ufeff {\"ts\" : -1.5 ,\n\t\"value\":-0.0,\"revision\":\"18446744073709551615\"}\r\n",
	`{"ts":0,"value":NaN}`, `{"ts":0,"value":1e999,"entity":"\ud83d"}`, `{"ts":0 "value":1}`, `{}`, `{"a":[[[{}]]]}`, ``, `[`,
}

// FuzzDecode looks for panics, for what decode checks, and for readings that
// are taken for SenML.
func FuzzDecode(f *testing.F) {
	for _, s := range objects {
		f.Add("", []byte(s))
		f.Add("application/json", []byte("["+s+","+s+"]"))
		f.Add("application/x-ndjson", []byte(s+"\n"+s))
	}
	for _, s := range packs {
		f.Add("", []byte(s))
		f.Add("application/sensml+json", []byte(s[:len(s)-1]))
	}
	f.Add("", []byte(`[{"bn":"m/","n":"p","v":1,"time":0,"value":1}]`))
	f.Add("", []byte(`[{"bn":"m/","\u0074s":0,"\u0076alue":1}]`))
	f.Add("application/x-protobuf", []byte{0x0a, 4, 0x1a, 2, 8, 1})
	f.Add("application/x-protobuf; proto=energy.v1.Reading", []byte{0x1a, 2, 8, 1})
	f.Add("application/x-protobuf; messageType=\"energy.v1.Other\"", []byte{0x1a, 2, 8, 1})
	f.Fuzz(func(t *testing.T, contentType string, payload []byte) {
		decode(t, contentType, payload)
		if bronze.FormatOf(contentType, payload).String() == "" {
			t.Error("a format without a name")
		}
		var elements []json.RawMessage
		if bronze.FormatOf("", payload) != bronze.SenML ||
			json.Unmarshal(bytes.TrimPrefix(payload, []byte("\ufeff")), &elements) != nil {
			return
		}
		if first, _ := decode(t, "application/json", elements[0]); first[0].Fault == "" {
			t.Errorf("%q is taken for SenML and is a reading", elements[0])
		}
	})
}

// FuzzNeighbours puts anything that encoding/json takes, and some that it does not,
// between good readings (invariant 5).
func FuzzNeighbours(f *testing.F) {
	for _, s := range append(objects, `null`, `"\x"`, `"`+"\t"+`"`, `01`, `[{"a":"]"}]`, `true`, "\"\xff\"") {
		f.Add(s)
	}
	const good = `{"ts":0,"value":1}`
	f.Fuzz(func(t *testing.T, s string) {
		if json.Valid([]byte(s)) {
			got, _ := decode(t, "", []byte("["+good+","+s+","+good+"]"))
			if len(got) != 3 || got[0].Fault != "" || got[2].Fault != "" {
				t.Fatalf("%q between readings: %+v", s, got)
			}
		}
		if !strings.Contains(s, "\n") {
			got, _ := decode(t, "application/x-ndjson", []byte(good+"\n"+s+"\n"+good))
			blank := strings.Trim(s, " \t\r") == ""
			if len(got) != 3 && !blank || got[0].Fault != "" || got[len(got)-1].Fault != "" {
				t.Fatalf("%q between lines: %+v", s, got)
			}
		}
	})
}

// FuzzJSON holds Decode equal to encoding/json for single objects.
func FuzzJSON(f *testing.F) {
	for _, s := range objects {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) { checkJSON(t, t, payload) })
}

func checkJSON(tb testing.TB, t interface{ Fatalf(string, ...any) }, payload []byte) {
	tb.Helper()
	got, unknown := decode(tb, "application/json", payload)
	want, unknownWant, verdict := jsonOracle(payload)
	switch {
	case verdict == refused && len(got) == 1 && got[0].Fault == "" && !bytes.Contains(payload, []byte("\n")):
		t.Fatalf("%q is taken as %+v", payload, got[0].Reading)
	case verdict == accepted && (len(got) != 1 || got[0].Fault != ""):
		t.Fatalf("%q is refused: %+v", payload, got)
	case verdict == invalid && (len(got) != 1 || got[0].Fault == ""):
		t.Fatalf("%q is taken: %+v", payload, got)
	case verdict == accepted && (!sameBits(got[0].Reading, want) || unknown != unknownWant):
		t.Fatalf("%q is %+v, %d, want %+v, %d", payload, got[0].Reading, unknown, want, unknownWant)
	}
}

func TestJSONEqualsEncodingJSON(t *testing.T) {
	t.Parallel()
	tb := t
	values := rapid.OneOf(
		rapid.Map(rapid.Float64(), func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }),
		rapid.Map(rapid.Int64(), func(n int64) string { return strconv.FormatInt(n, 10) }),
		rapid.Map(rapid.String(), func(s string) string { b, _ := json.Marshal(s); return string(b) }),
		rapid.SampledFrom([]string{
			"null", "true", "{}", "[]", `[{"a":1}]`, `{"b":{"c":""}}`, "0", "-0", "1.5", `"12.5"`, `"NaN"`, `"actual"`, `"withdrawn"`,
			`"15m"`, `"2026-01-31T12:00:00.25+01:00"`, "1769860800", `"\u00e9\ud83d\ude00"`, `"-1"`, `"7"`, "01", "1.", "+1", "nul",
		}),
	)
	names := rapid.SampledFrom([]string{
		"entity_id", "entity", "metric", "time", "ts", "timestamp", "value", "unit", "quality", "revision", "length", "exchange_start", "x", "Value",
		`\u0075nit`,
	})
	rapid.Check(t, func(t *rapid.T) {
		space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t"})
		var b strings.Builder
		b.WriteString(`{"ts":1,"value":2`)
		for range rapid.IntRange(0, 6).Draw(t, "members") {
			b.WriteString("," + space.Draw(t, "space") + `"` + names.Draw(t, "name") + `"` + space.Draw(t, "space") + ":" +
				space.Draw(t, "space") + values.Draw(t, "value") + space.Draw(t, "space"))
		}
		b.WriteString("}")
		s := b.String()
		if rapid.Bool().Draw(t, "free time and value") {
			s = "{" + strings.TrimPrefix(strings.TrimPrefix(s, `{"ts":1,"value":2`), ",")
		}
		checkJSON(tb, t, []byte(s))
	})
}
