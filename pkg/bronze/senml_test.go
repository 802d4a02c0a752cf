package bronze_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/reading"
)

const (
	senml  = "application/senml+json"
	sensml = "application/sensml+json"
)

// TestSenMLExamples takes the examples of RFC 8428 section 5.1.
func TestSenMLExamples(t *testing.T) {
	t.Parallel()
	at := func(seconds, nanos int64) int64 { return seconds*1e9 + nanos }
	row := func(entity, metric, unit string, time int64, value float64) outcome {
		return outcome{Reading: reading.Reading{EntityID: entity, Metric: metric, Unit: unit, Time: time, Value: value}}
	}
	const device, other, june, october = "urn:dev:ow:10e2073a01080063", "urn:dev:ow:10e2073a0108006", 1276020076, 1320067464
	current := func(ago int64, value float64) outcome {
		return row(other, "current", "A", at(june-ago, 1e6), value)
	}
	position := func(minutes, humidity, longitude, latitude float64) []outcome {
		time := at(october+int64(minutes*60), 0)
		return []outcome{
			row(device, "m", "%", time, humidity), row(device, "m", "lon", time, longitude), row(device, "m", "lat", time, latitude),
		}
	}
	refused := func(label string) outcome { return outcome{Fault: label + ":"} }
	for name, c := range map[string]struct {
		contentType, payload string
		want                 []outcome
	}{
		"5.1.1, which names no metric": {"", examples["5.1.1"], []outcome{refused("n")}},
		"5.1.2, two values now": {"", examples["5.1.2"], []outcome{
			row(device, "voltage", "V", received, 120.1), row(device, "current", "A", received, 1.2),
		}},
		"5.1.2, the last seconds": {"", examples["5.1.2 base time"], []outcome{
			row(other, "voltage", "V", at(june, 1e6), 120.1),
			current(5, 1.2), current(4, 1.3), current(3, 1.4), current(2, 1.5), current(1, 1.6), current(0, 1.7),
		}},
		"5.1.2, a stream": {sensml, named(examples["5.1.2 stream"]), []outcome{
			row(device, "m", "%", at(october, 0), 21.2), row(device, "m", "%", at(october+10, 0), 21.3),
			row(device, "m", "%", at(october+20, 0), 21.4),
		}},
		"5.1.3, which names no metric": {"", examples["5.1.3"], slices.Repeat([]outcome{refused("n")}, 13)},
		"5.1.4, what 5.1.3 resolves to": {"", named(examples["5.1.3"]), slices.Concat(
			position(0, 20, 24.30621, 60.07965), position(1, 20.3, 24.30622, 60.07965), position(2, 20.7, 24.30623, 60.07966),
			[]outcome{row(device, "m", "%", at(1320067614, 0), 98)}, position(3, 21.2, 24.30628, 60.07967),
		)},
		"5.1.5, several types": {"", examples["5.1.5"], []outcome{
			row(device, "temp", "°C", received, 23.1), refused("vs"), refused("vb"), refused("vd"),
		}},
		"5.1.6, several devices": {"", examples["5.1.6"], []outcome{
			row("2001:db8::2", "temperature", "°C", at(1320078429, 0), 25.2), row("2001:db8::2", "humidity", "%", at(1320078429, 0), 30),
			row("2001:db8::1", "temperature", "°C", at(1320078429, 0), 12.3), row("2001:db8::1", "humidity", "%", at(1320078429, 0), 67),
		}},
		"5.1.7, a record of base fields only": {"", examples["5.1.7"], []outcome{
			row(device, "temp", "°C", received, 23.1), row(device, "heat", "1", received, 1), row(device, "fan", "1", received, 0),
		}},
		"5.1.7, which names lights by their address": {"", examples["5.1.7 lights"], []outcome{refused("n"), refused("n")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, unknown := decode(t, c.contentType, []byte(c.payload))
			for i := range got {
				label, _, _ := strings.Cut(got[i].Fault, " ")
				got[i].Fault, got[i].Payload = label, ""
			}
			if diff := cmp.Diff(c.want, got); diff != "" || unknown != 0 {
				t.Errorf("%d unknown fields, %s", unknown, diff)
			}
		})
	}
}

// named gives the device of an example a metric, m.
func named(example string) string {
	return strings.ReplaceAll(example, `"urn:dev:ow:10e2073a01080063"`, `"urn:dev:ow:10e2073a01080063/m"`)
}

func TestSenMLTimes(t *testing.T) {
	t.Parallel()
	const edge = 1 << 28
	for fields, want := range map[string]int64{
		`"t":0`:                          received,
		`"t":-0.000000001`:               received - 1,
		`"t":-1e-10`:                     received - 1,
		`"bt":-5,"t":2.5`:                received - 25e8,
		`"t":3.6e3`:                      received + 3600e9,
		`"t":268435455.999999999`:        received + edge*1e9 - 1,
		`"t":268435456`:                  edge * 1e9,
		`"bt":268435455,"t":1`:           edge * 1e9,
		`"bt":268435456,"t":-1`:          received + (edge-1)*1e9,
		`"bt":1.76986080025e9`:           noon + 25e7,
		`"bt":1769860800.123456789`:      noon + 123456789,
		`"bt":1769860800.1234567899`:     noon + 123456789,
		`"bt":1769860800,"t":1e-9`:       noon + 1,
		`"bt":null,"t":1769860800`:       noon,
		`"bt":1,"t":1,"bt":1769860800`:   noon + 1e9,
		`"bt":9223372036,"t":-1.5`:       9223372034_500000000,
		`"bt":-9223372036,"t":1e10`:      0, // too late by itself
		`"bt":9223372036,"t":1`:          0,
		`"t":-9223372036,"bt":-1`:        0,
		`"t":1769860800000`:              0, // milliseconds
		`"t":-9223372036.8,"bt":0`:       received - 9223372036_800000000,
		`"t":"1769860800"`:               0,
		`"bt":true`:                      0,
		`"bt":1769860800,"t":["later"]`:  0,
		`"t":1e999999999999999999999999`: 0,
	} {
		got, _ := decode(t, senml, []byte(`[{"n":"m/p","v":1,`+fields+`}]`))
		switch {
		case len(got) != 1 || (got[0].Fault == "") != (want != 0) || got[0].Reading.Time != want:
			t.Errorf("%s is %+v, want %d", fields, got, want)
		case want == 0 && !strings.HasPrefix(got[0].Fault, "t: ") && !strings.HasPrefix(got[0].Fault, "bt: "):
			t.Errorf("%s: %s", fields, got[0].Fault)
		}
	}
}

func TestSenMLWithoutReceiveTime(t *testing.T) {
	t.Parallel()
	var d bronze.Decoder
	var got []string
	d.Decode(senml, []byte(`[{"bn":"m/","n":"p","v":1},{"n":"p","v":1,"t":1769860800}]`),
		func(_ uint32, r reading.Reading) { got = append(got, fmt.Sprint(r.Time)) },
		func(f bronze.Fault) { got = append(got, f.Detail) })
	if len(got) != 2 || !strings.Contains(got[0], `relative to "now"`) || got[1] != fmt.Sprint(noon) {
		t.Errorf("got %q", got)
	}
}

func TestSenMLNamesUnitsAndValues(t *testing.T) {
	t.Parallel()
	type of = reading.Reading
	for fields, want := range map[string]of{
		`"n":"m/p","v":1`:                          {EntityID: "m", Metric: "p", Value: 1},
		`"bn":"m","n":"/p","v":1`:                  {EntityID: "m", Metric: "p", Value: 1},
		`"bn":"m/p","v":1`:                         {EntityID: "m", Metric: "p", Value: 1},
		`"bn":"m/p","n":"","v":1`:                  {EntityID: "m", Metric: "p", Value: 1},
		`"bn":"a/b:","n":"c/p:q","v":1`:            {EntityID: "a/b:c", Metric: "p:q", Value: 1},
		`"bn":"/3303/0/","n":"5700","v":1`:         {EntityID: "/3303/0", Metric: "5700", Value: 1},
		`"n":"m/1-0:1.8.0","v":1`:                  {EntityID: "m", Metric: "1-0:1.8.0", Value: 1},
		`"n":"urn:uuid:f81d4fae-7dec:power","v":1`: {EntityID: "urn:uuid:f81d4fae-7dec", Metric: "power", Value: 1},
		`"\u0062n":"\u006d\/","n":"\u0070","v":1`:  {EntityID: "m", Metric: "p", Value: 1},
		`"n":"m/p","bu":"A","v":1`:                 {EntityID: "m", Metric: "p", Value: 1, Unit: "A"},
		`"n":"m/p","bu":"A","u":"V","v":1`:         {EntityID: "m", Metric: "p", Value: 1, Unit: "V"},
		`"n":"m/p","bu":"A","u":"","v":1`:          {EntityID: "m", Metric: "p", Value: 1},
		`"n":"m/p","bu":"Cel","v":1`:               {EntityID: "m", Metric: "p", Value: 1, Unit: "°C"},
		`"n":"m/p","u":"%","v":0.5`:                {EntityID: "m", Metric: "p", Value: 0.5, Unit: "1"},
		`"n":"m/p","u":"kvarh","bver":26,"v":1`:    {EntityID: "m", Metric: "p", Value: 1, Unit: "kvarh"},
		`"n":"m/p","bv":1.5,"v":-2`:                {EntityID: "m", Metric: "p", Value: -0.5},
		`"n":"m/p","bv":0,"v":-0`:                  {EntityID: "m", Metric: "p", Value: math.Copysign(0, -1)},
		`"n":"m/p","v":1e999`:                      {EntityID: "m", Metric: "p", Value: math.Inf(1)},
		`"n":"m/p","v":1,"ut":7,"vs":null`:         {EntityID: "m", Metric: "p", Value: 1},
	} {
		want.Time = received
		got, unknown := decode(t, senml, []byte(`[{`+fields+`}]`))
		if len(got) != 1 || got[0].Fault != "" || !sameBits(got[0].Reading, want) || unknown != 0 {
			t.Errorf("%s is %+v, %d unknown fields, want %+v", fields, got, unknown, want)
		}
	}
}

func TestSenMLFaults(t *testing.T) {
	t.Parallel()
	for payload, detail := range map[string]string{
		`{"n":"m/p","v":1}`:                            "the opening bracket of an array is missing at byte 0",
		`[{"n":"m/p"}]`:                                "v: missing",
		`[{}]`:                                         "v: missing",
		`[{"bn":"m/p","t":1}]`:                         "v: missing",
		`[{"bn":"m/p","ut":1}]`:                        "v: missing",
		`[{"bn":"m/p","bv":1,"u":"W"}]`:                "v: missing",
		`[{"n":"m/p","s":1}]`:                          "s: a sum alone",
		`[{"n":"m/p","v":1,"vs":"x"}]`:                 "vs: only numbers",
		`[{"n":"m/p","vb":true}]`:                      "vb: only numbers",
		`[{"n":"m/p","vd":""}]`:                        "vd: only numbers",
		`[{"n":"m/p","v":"1"}]`:                        "v: text stands where a number",
		`[{"n":"m/p","v":1,"bv":[]}]`:                  "bv: an array stands where a number",
		`[{"n":"m/p","v":1,"u":1}]`:                    "u: a number stands where text",
		`[{"n":"m/p","v":1,"u":"\ud83d"}]`:             "u: \"\\\\ud83d\" holds half a surrogate pair",
		`[{"n":7,"v":1}]`:                              "n: a number stands where text",
		`[{"bn":"m/","n":"\udc00","v":1}]`:             "n: \"\\\\udc00\" holds half",
		`[{"v":1}]`:                                    `n: the name ""`,
		`[{"n":"power","v":1}]`:                        `n: the name "power", bn and n joined, does not tell an entity from a metric; write bn`,
		`[{"n":"m/","v":1}]`:                           `n: the name "m/"`,
		`[{"n":"/p","v":1}]`:                           `n: the name "/p"`,
		`[{"n":"m:","v":1}]`:                           `n: the name "m:"`,
		`[{"n":"00:1a:2b:EF","v":1}]`:                  "n: the name",
		`[{"n":"urn:uuid:f81d4fae-7dec","v":1}]`:       "n: the name",
		`[{"n":"m/p","v":1,"x_":1}]`:                   `"x_": must be understood`,
		`[{"bn":"m/p","x_":null}]`:                     `"x_": must be understood`,
		`[{"n":"m/p","v":1,"\u0078_":1}]`:              "must be understood",
		`[{"n":"m/p","v":1,"bx_":1},{}]`:               `the base field "bx_" must be understood and is not known here, it stands at byte 18`,
		`[{"n":"m/p","v":1,"bver":11},{}]`:             `the version bver "11" is not 1 to 10 or 26, it stands at byte 18 of the message; this`,
		`[{"n":"m/p","v":1,"bver":0}]`:                 "bver",
		`[{"n":"m/p","v":1,"bver":10.5}]`:              "bver",
		`[{"n":"m/p","v":1,"bver":"10"}]`:              "bver",
		`[{"n":"m/p","v":1} {}]`:                       "a comma or the closing bracket",
		`[{"n":"m/p","v" 1},{}]`:                       "a colon is missing",
		`[{"bn":"` + strings.Repeat("x", 512) + `/"}]`: "bn: has 513 bytes; at most 512",
		`["m/p"]`:                             "text stands where a record should; a SenML pack is",
		`[nul]`:                               `"nul" is neither`,
		`[{"n":"m/p","v":NaN}]`:               `"NaN" is neither a JSON number`,
		"[{\"n\":\"m\xff/p\",\"v\":1}]":       "not valid UTF-8",
		`[{"n":"` + strings.Repeat("x", 9999): "a string is not closed",
		`[{"n":"` + strings.Repeat("x", 9999) + `","v":1}]`: "n: the name",
	} {
		got, _ := decode(t, senml, []byte(payload))
		if n := len(got); n == 0 || !strings.Contains(got[n-1].Fault, detail) || strings.Contains(payload, "_") && n > 1 {
			t.Errorf("%.99s: got %+v, want a fault with %q", payload, got, detail)
		}
	}
}
