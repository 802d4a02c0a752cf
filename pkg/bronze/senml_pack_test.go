package bronze_test

import (
	"strings"
	"testing"

	"github.com/energy-platform/energy/pkg/bronze"
)

// examples are those of RFC 8428 section 5.1.
var examples = map[string]string{
	"5.1.1": `[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]`,
	"5.1.2": `[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},{"n":"current","u":"A","v":1.2}]`,
	"5.1.2 base time": `[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,
		"n":"voltage","u":"V","v":120.1},
		{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},{"n":"current","t":-3,"v":1.4},
		{"n":"current","t":-2,"v":1.5},{"n":"current","t":-1,"v":1.6},{"n":"current","v":1.7}]`,
	"5.1.2 stream": `[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":21.2},
		{"t":10,"v":21.3},{"t":20,"v":21.4},`,
	"5.1.3": `[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},
		{"u":"lon","v":24.30621},{"u":"lat","v":60.07965},{"t":60,"v":20.3},
		{"u":"lon","t":60,"v":24.30622},{"u":"lat","t":60,"v":60.07965},{"t":120,"v":20.7},
		{"u":"lon","t":120,"v":24.30623},{"u":"lat","t":120,"v":60.07966},{"u":"%EL","t":150,"v":98},
		{"t":180,"v":21.2},{"u":"lon","t":180,"v":24.30628},{"u":"lat","t":180,"v":60.07967}]`,
	"5.1.5": `[{"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},
		{"n":"label","vs":"Machine Room"},{"n":"open","vb":false},{"n":"nfv-reader","vd":"aGkgCg"}]`,
	"5.1.6": `[{"bn":"2001:db8::2/","bt":1.320078429e+09,"n":"temperature","u":"Cel","v":25.2},
		{"n":"humidity","u":"%RH","v":30},{"bn":"2001:db8::1/","n":"temperature","u":"Cel","v":12.3},
		{"n":"humidity","u":"%RH","v":67}]`,
	"5.1.7": `[{"bn":"urn:dev:ow:10e2073a01080063:"},{"n":"temp","u":"Cel","v":23.1},
		{"n":"heat","u":"/","v":1},{"n":"fan","u":"/","v":0}]`,
	"5.1.7 lights": `[{"bt":1.320078429e+09,"bu":"/","n":"2001:db8::3","v":1},{"n":"2001:db8::4","v":1}]`,
}

// TestSenMLNeighbours has records of values 1, 2, 3 beside faulty ones.
func TestSenMLNeighbours(t *testing.T) {
	t.Parallel()
	const one, two = `{"n":"p","v":1}`, `{"n":"p","v":2}`
	const base = `{"bn":"m/","bt":1e9,"bu":"W"},`
	for name, c := range map[string]struct{ contentType, payload, want string }{
		"an empty pack":                     {senml, "[]", ""},
		"base fields only":                  {senml, "[" + base + `{"bn":"x"}]`, ""},
		"base fields take no index":         {senml, "[" + base + one + "," + base + two + "]", "1 2"},
		"text for a number":                 {senml, "[" + base + one + `,{"n":"p","v":"x"},` + two + "]", `1 !{"n":"p","v":"x"} 2`},
		"a flaw":                            {senml, "[" + base + one + `,{"n":"\x"},` + two + "]", `1 !{"n":"\x"} 2`},
		"two flaws":                         {senml, "[" + base + `{"x":nul,"bt":nul},{"bt":1e9},` + two + "]", `!{"x":nul,"bt":nul} 2`},
		"a number for a record":             {senml, "[" + base + "7," + two + "]", `!7 2`},
		"a refused record's base fields":    {senml, `[{"bn":"m/","bt":1e9,"vs":""},` + two + "]", `!{"bn":"m/","bt":1e9,"vs":""} 2`},
		"a flawed record's base fields":     {senml, `[{"bn":"m/","x":nul},` + two + "]", `!{"bn":"m/","x":nul} 2`},
		"a bad base time":                   {senml, `[{"bn":"m/","bt":"x"},` + one + "," + base + two + "]", `!{"bn":"m/","bt":"x"} !` + one + " 2"},
		"a bad base name":                   {senml, "[" + base + `{"bn":1},` + one + `,{"bn":"m/"},` + two + "]", `!{"bn":1} !` + one + " 2"},
		"a bad base unit":                   {senml, `[{"bn":"m/","bu":1},` + one + `,{"n":"p","u":"W","v":2}]`, `!{"bn":"m/","bu":1} !` + one + " 2"},
		"a bad base value":                  {senml, `[{"bn":"m/","bv":""},` + one + `,{"bv":0},` + two + "]", `!{"bn":"m/","bv":""} !` + one + " 2"},
		"a bad base sum rests on nothing":   {senml, `[{"bn":"m/","bs":""},` + two + "]", "2"},
		"a flaw in a base field":            {senml, "[" + base + `{"bt":01},` + one + "," + base + two + "]", `!{"bt":01} !` + one + " 2"},
		"a flaw in a base name":             {senml, "[" + base + `{"bn":"\u0"},` + one + "," + base + two + "]", `!{"bn":"\u0"} !` + one + " 2"},
		"half a pair in a base name":        {senml, "[" + base + `{"bn":"\ud83d"},` + one + "," + base + two + "]", `!{"bn":"\ud83d"} !` + one + " 2"},
		"a flaw in the first of two":        {senml, "[" + base + `{"bn":"\x","bn":"m/"},` + one + "]", `!{"bn":"\x","bn":"m/"} !` + one},
		"a flaw in a name":                  {senml, "[" + base + `{"b\x":1},` + one + `,{"bn":"m/","bt":1,"bu":"","bv":0},` + two + "]", `!{"b\x":1} !` + one + " 2"},
		"a newer version":                   {senml, "[" + base + one + `,{"bver":27},` + two + "]", `1 !{"bver":27},` + two + "]"},
		"a base field to be understood":     {senml, "[" + base + one + `,{"b_":1},` + two + "]", `1 !{"b_":1},` + two + "]"},
		"a field to be understood":          {senml, "[" + base + one + `,{"_":1},` + two + "]", `1 !{"_":1} 2`},
		"a pack cut in a record":            {senml, "[" + base + one + "," + two[:5], "1 !" + two[:5]},
		"a pack cut after a record":         {senml, "[" + base + one, "1 !"},
		"a pack cut after a comma":          {senml, "[" + base + one + ",", "1 !"},
		"a stream cut in a record":          {sensml, "[" + base + one + "," + two[:5], "1 !" + two[:5]},
		"a stream that goes on":             {sensml, "[" + base + one + "\n", "1"},
		"a stream that goes on after comma": {sensml, "[" + base + one + ", \n", "1"},
		"a stream that begins":              {sensml, "[ ", ""},
		"a stream that is closed":           {sensml, "[" + base + one + "]", "1"},
		"text within a stream":              {sensml, "[" + base + one + two, "1 !" + two},
		"text after a pack":                 {senml, "[" + base + one + "] x", "1 !x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := decode(t, c.contentType, []byte(c.payload))
			if s := summary(got); s != c.want {
				t.Errorf("got  %s\nwant %s\n%+v", s, c.want, got)
			}
		})
	}
}

func TestSenMLTellsWhichRecordToMend(t *testing.T) {
	t.Parallel()
	got, _ := decode(t, senml, []byte(`[{"n":"m/p","v":1},{"bt":true},{"bt":null},{"n":"m/p","v":1}]`))
	const want = "bt: this record rests on it, and the record at index 1 sets it wrongly"
	if len(got) != 4 || !strings.HasPrefix(got[3].Fault, want) {
		t.Errorf("%+v", got)
	}
}

func TestSenMLIsRecognised(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]bronze.Format{
		`[{"bn":"m/"}]`:                          bronze.SenML,
		"\ufeff\n[ { \"bver\" : 10 } ]":          bronze.SenML,
		`[{"x":[{"time":1}],"bt":1}]`:            bronze.SenML,
		`[{"n":"m/p","v":1},{"time":0}]`:         bronze.SenML,
		`[{"t":1,"vs":"","n":"m/p"}]`:            bronze.SenML,
		`[{"bn":"m/","n"`:                        bronze.SenML,
		`[{"bn":"m/","metric":"p","v":1}]`:       bronze.JSON,
		`[{"bn":1,"ts":0,"value":1}]`:            bronze.JSON,
		`[{"bn":1,"\u0074s":0,"\u0076alue":1}]`:  bronze.JSON,
		`[{"n":1,"v":1,"timestamp":0}]`:          bronze.JSON,
		`[{"n":"m/p","t":1}]`:                    bronze.JSON,
		`[{"u":"W","v":1}]`:                      bronze.JSON,
		`[{"time":0},{"bn":"m/"}]`:               bronze.JSON,
		`[[{"bn":"m/"}]]`:                        bronze.JSON,
		`[]`:                                     bronze.JSON,
		`[{}]`:                                   bronze.JSON,
		`{"bn":"m/","n":"p","v":1}`:              bronze.JSON,
		"{\"bn\":\"m/\"}\n{\"n\":\"p\",\"v\":1}": bronze.JSON,
	} {
		for _, contentType := range []string{"", "application/json", "text/plain"} {
			if got := bronze.FormatOf(contentType, []byte(payload)); got != want {
				t.Errorf("%s as %q is %v, want %v", payload, contentType, got, want)
			}
		}
		if got := bronze.FormatOf("Application/SenML+JSON; charset=utf-8", []byte(payload)); got != bronze.SenML {
			t.Errorf("declared: %v", got)
		}
		if got := bronze.FormatOf("application/x-ndjson", []byte(payload)); got != bronze.NDJSON {
			t.Errorf("declared as lines: %v", got)
		}
	}
}
