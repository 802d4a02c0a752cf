package bronze_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/reading"
)

// outcome is what one position of a message yielded.
type outcome struct {
	Reading reading.Reading
	Fault   string // its detail; empty for a reading
	Payload string
}

// decode decodes with a Decoder of its own and checks what holds of every
// message: indices count from 0, faults are in order and strings are UTF-8.
func decode(t testing.TB, contentType string, payload []byte) (outcomes []outcome, unknown int) {
	t.Helper()
	d := bronze.Decoder{Received: received}
	at := func(index uint32) {
		if int(index) != len(outcomes) {
			t.Fatalf("index %d follows %d outcomes", index, len(outcomes))
		}
	}
	unknown = d.Decode(contentType, payload, func(index uint32, r reading.Reading) {
		at(index)
		for _, s := range []string{r.EntityID, r.Metric, r.Unit} {
			if !utf8.ValidString(s) {
				t.Fatalf("%q is not valid UTF-8", s)
			}
		}
		if r.Length < 0 || !r.Quality.Valid() {
			t.Fatalf("length %v, quality %v", r.Length, r.Quality)
		}
		outcomes = append(outcomes, outcome{Reading: r})
	}, func(f bronze.Fault) {
		at(f.Index)
		if f.Detail == "" || !utf8.ValidString(f.Detail) {
			t.Fatalf("detail %q", f.Detail)
		}
		if len(f.Payload) > bronze.MaxExcerpt || len(f.Detail) > 1000 {
			t.Fatalf("fault of %d bytes, detail of %d", len(f.Payload), len(f.Detail))
		}
		outcomes = append(outcomes, outcome{Fault: f.Detail, Payload: string(f.Payload)})
	})
	return outcomes, unknown
}

// summary writes outcomes as one line: a reading as its value, a fault as
// "!" and the payload it refused.
func summary(outcomes []outcome) string {
	var words []string
	for _, o := range outcomes {
		if o.Fault != "" {
			words = append(words, "!"+o.Payload)
			continue
		}
		words = append(words, fmt.Sprint(o.Reading.Value))
	}
	return strings.Join(words, " ")
}

// received is when the messages of decode were received, 2026-02-01T00:00:00.5Z.
const received = 1769904000_500000000

// noon is 2026-01-31T12:00:00Z.
var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC).UnixNano()

func TestDecodeJSON(t *testing.T) {
	t.Parallel()
	base := reading.Reading{EntityID: "m1", Metric: "p", Time: noon, Value: 12.5}
	with := func(change func(*reading.Reading)) reading.Reading {
		r := base
		change(&r)
		return r
	}
	const head = `{"entity_id":"m1","metric":"p","time":"2026-01-31T12:00:00Z"`
	cases := map[string]struct {
		payload string
		want    reading.Reading
		unknown int
	}{
		"a plain object":                     {payload: head + `,"value":12.5}`, want: base},
		"white space anywhere":               {payload: " {\n\t\"entity_id\" : \"m1\" ,\r\n \"metric\":\"p\",\"ts\": 1769860800 , \"value\" : 12.5 } \n", want: base},
		"a byte order mark":                  {payload: "\ufeff" + head + `,"value":12.5}`, want: base},
		"aliases of entity and time":         {payload: `{"entity":"m1","metric":"p","timestamp":"2026-01-31T12:00:00Z","value":12.5}`, want: base},
		"a numeric string as value":          {payload: head + `,"value":"12.5"}`, want: base},
		"a value with leading zeros":         {payload: head + `,"value":"+0012.50"}`, want: base},
		"escapes in names and texts":         {payload: `{"entity\u005fid":"\u006d\u0031","metric":"\u0070","time":"2026\u002d01-31T12:00:00Z","value":"\u0031\u0032.5"}`, want: base},
		"a surrogate pair":                   {payload: head + `,"value":12.5,"unit":"\ud83d\ude00\/\"\\\b\f\n\r\t"}`, want: with(func(r *reading.Reading) { r.Unit = "😀/\"\\\b\f\n\r\t" })},
		"text beyond ASCII":                  {payload: head + `,"value":12.5,"unit":"m³"}`, want: with(func(r *reading.Reading) { r.Unit = "m³" })},
		"an overflowing value is infinite":   {payload: head + `,"value":-1e999}`, want: with(func(r *reading.Reading) { r.Value = math.Inf(-1) })},
		"NaN as text":                        {payload: head + `,"value":"NaN"}`, want: with(func(r *reading.Reading) { r.Value = math.NaN() })},
		"Infinity as text":                   {payload: head + `,"value":"-Infinity"}`, want: with(func(r *reading.Reading) { r.Value = math.Inf(-1) })},
		"quality by name":                    {payload: head + `,"value":12.5,"quality":"corrected"}`, want: with(func(r *reading.Reading) { r.Quality = reading.Corrected })},
		"an empty quality is unspecified":    {payload: head + `,"value":12.5,"quality":""}`, want: base},
		"the greatest revision":              {payload: head + `,"value":12.5,"revision":18446744073709551615}`, want: with(func(r *reading.Reading) { r.Revision = math.MaxUint64 })},
		"a revision as text":                 {payload: head + `,"value":12.5,"revision":"7"}`, want: with(func(r *reading.Reading) { r.Revision = 7 })},
		"a revision written as a float":      {payload: head + `,"value":12.5,"revision":18446744073709551615.0}`, want: with(func(r *reading.Reading) { r.Revision = math.MaxUint64 })},
		"a length in Go's form":              {payload: head + `,"value":12.5,"length":"15m"}`, want: with(func(r *reading.Reading) { r.Length = 15 * time.Minute })},
		"a length in ISO 8601":               {payload: head + `,"value":12.5,"length":"PT15M"}`, want: with(func(r *reading.Reading) { r.Length = 15 * time.Minute })},
		"an exchange of the meter":           {payload: head + `,"value":12.5,"exchange_start":0.25}`, want: with(func(r *reading.Reading) { r.Exchange, r.ExchangeStart = true, 0.25 })},
		"an exchange to a meter from 0":      {payload: head + `,"value":12.5,"exchange_start":"0"}`, want: with(func(r *reading.Reading) { r.Exchange = true })},
		"a length in seconds":                {payload: head + `,"value":12.5,"length":900.5}`, want: with(func(r *reading.Reading) { r.Length = 900500 * time.Millisecond })},
		"null is not given":                  {payload: head + `,"value":12.5,"unit":null,"quality":null,"revision":null,"length":null,"exchange_start":null,"other":null}`, want: base, unknown: 1},
		"the last of duplicates":             {payload: head + `,"value":[],"value":1,"value":12.5,"value":null}`, want: base},
		"unknown members are counted":        {payload: head + `,"value":12.5,"a":{"value":[1,{"b":"]}"}],"c":{}},"d":[[],[{}]],"Value":3}`, want: base, unknown: 3},
		"no entity and no metric":            {payload: `{"time":1769860800,"value":12.5}`, want: reading.Reading{Time: noon, Value: 12.5}},
		"a withdrawn reading needs no value": {payload: head + `,"quality":"withdrawn"}`, want: with(func(r *reading.Reading) { r.Value, r.Quality = 0, reading.Withdrawn })},
		"half a surrogate pair elsewhere":    {payload: head + `,"value":12.5,"x":"\ud83d","\udc00":1}`, want: base, unknown: 2},
		"nesting of 64 levels":               {payload: head + `,"value":12.5,"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, want: base, unknown: 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, unknown := decode(t, "application/json", []byte(c.payload))
			want := []outcome{{Reading: c.want}}
			if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Error(diff)
			}
			if unknown != c.unknown {
				t.Errorf("%d unknown fields, want %d", unknown, c.unknown)
			}
		})
	}
}

func TestDecodeJSONFaults(t *testing.T) {
	t.Parallel()
	const head = `{"entity_id":"m1","metric":"p","time":1769860800`
	cases := map[string]struct{ payload, detail string }{
		"no value":                    {head + `}`, "value: missing"},
		"no time":                     {`{"entity_id":"m1","value":1}`, "time: missing"},
		"an empty object":             {`{}`, "time: missing"},
		"a value by half its name":    {head + `,"value\ud83d":1}`, "value: missing"},
		"a value that is an array":    {head + `,"value":[1]}`, "value: an array stands where a number should"},
		"a value that is true":        {head + `,"value":true}`, "value: a truth value"},
		"a comma in a value":          {head + `,"value":"12,5"}`, `value: "12,5" is no number`},
		"a hexadecimal value":         {head + `,"value":"0x1p4"}`, `is no number`},
		"an underscore in a value":    {head + `,"value":"1_000"}`, `is no number`},
		"an empty value":              {head + `,"value":""}`, `value: "" is no number`},
		"the word NaN":                {head + `,"value":NaN}`, `"NaN" is neither a JSON number`},
		"a number that is none":       {head + `,"value":01}`, `"01" is neither`},
		"a numeric entity":            {`{"entity_id":7,"time":0,"value":1}`, "entity_id: a number stands where text"},
		"an unknown quality":          {head + `,"value":1,"quality":"good"}`, `quality: "good" is not known`},
		"a numeric quality":           {head + `,"value":1,"quality":1}`, "quality: a number"},
		"a negative revision":         {head + `,"value":1,"revision":-1}`, `revision: "-1" is no whole number`},
		"a revision with a fraction":  {head + `,"value":1,"revision":1.5}`, "revision"},
		"a revision too great":        {head + `,"value":1,"revision":18446744073709551616}`, "revision"},
		"a truth value as revision":   {head + `,"value":1,"revision":true}`, "revision: a truth value"},
		"an object as exchange start": {head + `,"value":1,"exchange_start":{}}`, "exchange_start: an object"},
		"a word as exchange start":    {head + `,"value":1,"exchange_start":"x"}`, `exchange_start: "x" is no number`},
		"an object as length":         {head + `,"value":1,"length":{}}`, "length: an object"},
		"half a pair in every field":  {head + `,"value":"\udc00"}`, "value: "},
		"half a pair in the time":     {`{"time":"\udc00","value":1}`, "time: "},
		"half a pair in the revision": {head + `,"value":1,"revision":"\udc00"}`, "revision: "},
		"half a pair in the length":   {head + `,"value":1,"length":"\udc00"}`, "length: "},
		"a negative length":           {head + `,"value":1,"length":"-15m"}`, "length"},
		"a negative length in s":      {head + `,"value":1,"length":-1}`, "length"},
		"a length in months":          {head + `,"value":1,"length":"P1M"}`, "length"},
		"a time without offset":       {`{"time":"2026-01-31T12:00:00","value":1}`, "append Z"},
		"a time out of range":         {`{"time":"2400-01-31T12:00:00Z","value":1}`, "1678 to 2262"},
		"a boolean time":              {`{"time":false,"value":1}`, "time: a truth value"},
		"text that is not UTF-8":      {"{\"entity_id\":\"m\xff\",\"time\":0,\"value\":1}", "not valid UTF-8"},
		"a key that is not UTF-8":     {"{\"m\xff\":1,\"time\":0,\"value\":1}", "not valid UTF-8"},
		"half a surrogate pair":       {`{"entity_id":"\ud83d","time":0,"value":1}`, "half a surrogate pair"},
		"a surrogate and bare digits": {`{"entity_id":"\ud83d?udc00","time":0,"value":1}`, "half a surrogate pair"},
		"a surrogate and an escape":   {`{"entity_id":"\ud83d\nudc00","time":0,"value":1}`, "half a surrogate pair"},
		"digits that are not hex":     {`{"entity_id":"\u00g0","time":0,"value":1}`, "escape"},
		"an escape cut short":         {`{"entity_id":"\u00"}`, "escape"},
		"two high surrogates":         {`{"entity_id":"\ud83d\ud83d","time":0,"value":1}`, "half a surrogate pair"},
		"an unknown escape":           {`{"entity_id":"\x41","time":0,"value":1}`, "escape"},
		"a raw control character":     {"{\"entity_id\":\"a\tb\",\"time\":0,\"value\":1}", "control character"},
		"nesting of 65 levels":        {head + `,"value":1,"x":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}`, "deeper than 64"},
		"nesting without end":         {strings.Repeat(`{"a":[`, 100_000), "too early"},
		"a trailing comma":            {head + `,"value":1,}`, "name in double quotes"},
		"a missing colon":             {head + `,"value" 1}`, "colon"},
		"a missing comma":             {head + ` "value":1}`, "comma"},
		"a missing brace":             {head + `,"value":1`, "too early"},
		"an open string":              {head + `,"value":"1}`, "too early: a string is not closed"},
		"text after the object":       {head + `,"value":1} x`, "text follows"},
		"two objects on a line":       {head + `,"value":1}{}`, "text follows an object on its line"},
		"words":                       {`not json`, "text follows a word unknown to JSON on its line"},
		"a closing bracket too early": {head + `,"value":1,"x":[}`, "value is missing"},
		"brackets that do not match":  {head + `,"value":1,"x":{"a":1]}`, "closing bracket"},
		"a number":                    {`12`, "a number stands where a reading should"},
		"text":                        {`"x"`, "text stands where"},
		"nothing":                     {``, "empty"},
		"white space":                 {" \n", "empty"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := decode(t, "application/json", []byte(c.payload))
			if len(got) != 1 || !strings.Contains(got[0].Fault, c.detail) {
				t.Errorf("got %+v, want one fault with %q", got, c.detail)
			}
		})
	}
}

func TestNeighbours(t *testing.T) {
	t.Parallel()
	const one, two = `{"ts":0,"value":1}`, `{"ts":0,"value":2}`
	deep := `{"ts":0,"value":1,"x":` + strings.Repeat(`{"a":[`, 500) + `"}"` + strings.Repeat("]}", 500) + "}"
	cases := map[string]struct{ contentType, payload, want string }{
		"an array":                          {"", "[" + one + " , " + two + "]\n", "1 2"},
		"an empty array":                    {"", "[ ]", ""},
		"elements that are no objects":      {"", "[null," + one + ",[{}],3," + two + "]", `!null 1 ![{}] !3 2`},
		"a word unknown to JSON":            {"", `[{"value":NaN},` + two + "]", `!{"value":NaN} 2`},
		"a bad escape":                      {"", `["\q",` + two + "]", `!"\q" 2`},
		"a control character":               {"", "[\"\x00\"," + two + "]", "!\"\x00\" 2"},
		"an element nested too deep":        {"", "[" + deep + "," + two + "]", "!" + deep + " 2"},
		"an array cut in an element":        {"", "[" + one + "," + two[:8], "1 !" + two[:8]},
		"an array cut after an element":     {"", "[" + one + "," + two, "1 2 !"},
		"an array cut after a comma":        {"", "[" + one + ",", "1 !"},
		"a trailing comma":                  {"", "[" + one + ",]", "1 !]"},
		"broken grammar in an array":        {"", "[" + one + `,{"value" 2},` + two + "]", `1 !{"value" 2},` + two + "]"},
		"text after the array":              {"", "[" + one + "] x", "1 !x"},
		"lines":                             {"", one + "\r\n\n" + two + "\n", "1 2"},
		"a broken line first":               {"", "{x}\n" + two, "!{x} 2"},
		"a line cut in an object":           {"", one[:10] + "\n" + one + "\n" + two, "!" + one[:10] + " 1 2"},
		"a line cut in a string":            {"", `{"ts":"` + "\n" + one + "\n" + two, `!{"ts":" 1 2`},
		"a line cut after a colon":          {"", one + "\n" + `{"ts":` + "\n" + two, `1 !{"ts": 2`},
		"two objects on a line":             {"", one + one + "\n" + two, "!" + one + one + " 2"},
		"objects over several lines":        {"", "{\"ts\":0,\n\"value\":1}\n{\n\"ts\":0,\"value\":2}", "1 2"},
		"a broken object over lines":        {"", "{\n \"ts\":0\n \"value\":1\n}", "!{\n \"ts\":0\n \"value\":1\n}"},
		"a word between lines":              {"application/x-ndjson", one + "\noops\n" + two, "1 !oops 2"},
		"a word before lines":               {"application/x-ndjson; charset=utf-8", "\ufeffoops {\n" + two, "!oops { 2"},
		"an array among lines":              {"application/x-ndjson", "[]\n" + two, "![] 2"},
		"lines without any":                 {"application/x-ndjson", "\n", "!\n"},
		"JSON that is not what it is named": {"application/json", "\x0a\x02\x1a\x00", "!\x02\x1a\x00"},
		"neither JSON nor protobuf":         {"", "hello", "!hello"},
		"another message":                   {"application/x-protobuf; proto=energy.v1.BronzeBatch", "\x0a\x02\x1a\x00", "!\x0a\x02\x1a\x00"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := decode(t, c.contentType, []byte(c.payload))
			if s := summary(got); s != c.want {
				t.Errorf("got  %s\nwant %s\n%+v", s, c.want, got)
			}
		})
	}
}

func TestUnknownFieldsOfABrokenLineCountOnce(t *testing.T) {
	t.Parallel()
	if _, unknown := decode(t, "", []byte("{\"a\":1,\"b\" 2}\n{\"c\":1}")); unknown != 2 {
		t.Errorf("%d unknown fields, want a and c", unknown)
	}
}

func TestFaultIsBounded(t *testing.T) {
	t.Parallel()
	payload := []byte(`["` + strings.Repeat("x", 100_000) + `"]`)
	got, _ := decode(t, "", payload)
	if len(got) != 1 || len(got[0].Payload) != bronze.MaxExcerpt || !strings.Contains(got[0].Fault, "of 100002 bytes") {
		t.Errorf("%d faults, payload of %d bytes, %s", len(got), len(got[0].Payload), got[0].Fault)
	}
}

// TestHostileInputIsLinear would take minutes if lines were read more than
// twice.
func TestHostileInputIsLinear(t *testing.T) {
	t.Parallel()
	for _, line := range []string{`{"a":`, `{"a":[`, `{"a":"`, `[`, `[{`, `{"a":{},`} {
		payload := []byte(strings.Repeat(line+"\n", 40_000))
		decode(t, "", payload)
		decode(t, "application/x-ndjson", payload)
	}
	decode(t, senml, []byte(`[{"bn":"`+strings.Repeat("x", 1<<20)+`/"}`+strings.Repeat(`,{"n":"p","v":1}`, 60_000)+"]"))
}

func TestNamesAreKept(t *testing.T) {
	t.Parallel()
	var d bronze.Decoder
	var kept []string
	var want []string
	for i := range 200_000 {
		want = append(want, fmt.Sprintf("meter-%d", i))
		payload := fmt.Appendf(nil, `{"entity_id":%q,"ts":0,"value":1}`, want[i])
		d.Decode("", payload, func(_ uint32, r reading.Reading) { kept = append(kept, r.EntityID) }, nil)
		clear(payload)
	}
	if !cmp.Equal(want, kept) {
		t.Error("names changed after they were emitted")
	}
}
