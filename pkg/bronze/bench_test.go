package bronze_test

import (
	"bytes"
	"fmt"
	"testing"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/reading"
)

// payloads returns messages of n readings of 50 entities, as producers write
// them.
func payloads(tb testing.TB, n int) (array, lines, batch []byte) {
	tb.Helper()
	var m energyv1.ReadingBatch
	var objects [][]byte
	for i := range n {
		entity, value := fmt.Sprintf("meter-%05d", i%50), float64(i)*0.125+1234.5
		m.Readings = append(m.Readings, sample(entity, value))
		objects = append(objects, fmt.Appendf(nil, `{"entity_id":%q,"metric":"energy.import","time":"2026-01-31T12:%02d:%02d.250Z",`+
			`"value":%v,"unit":"kWh","quality":"actual"}`, entity, i/60%60, i%60, value))
	}
	lines = bytes.Join(objects, []byte("\n"))
	array = append(append([]byte("["), bytes.Join(objects, []byte(","))...), ']')
	return array, lines, marshal(tb, &m)
}

// senmlPack returns the readings of payloads as a SenML pack.
func senmlPack(n int) []byte {
	b := []byte(`[{"bver":26,"bu":"kWh"}`)
	for i := range n {
		b = fmt.Appendf(b, `,{"bn":"meter-%05d/","n":"energy.import","t":%d.25,"v":%v}`,
			i%50, noon/1e9+int64(i), float64(i)*0.125+1234.5)
	}
	return append(b, ']')
}

//nolint:paralleltest // allocations of other tests would count
func TestDecodeDoesNotAllocate(t *testing.T) {
	array, lines, batch := payloads(t, 500)
	shaped := []byte(`[{"entity":"m\u0031","metric":"m","ts":1769860800.123,"value":0.12345678901234567,"length":"PT15M","revision":"7"},` +
		`{"entity":"m\u0031","metric":"m","ts":"1769860800123","value":"1e-30","length":"15m","x":[{"y":[]}],"quality":"estimated"}]`)
	pack := senmlPack(500)
	records := []byte(`[{"bn":"m\u0031:","n":"p\u0032x","u":"C\u0065l","bv":1,"v":0.1,"bver":10},{"n":"p","t":-1.5e0,"v":1,"s":2},` +
		`{"bn":"m","bt":1.7e9},{"bn":"m:","n":"temp","bu":"%RH","v":-1}]`)
	for name, c := range map[string]struct {
		contentType string
		payload     []byte
		readings    int
	}{
		"array": {"", array, 500}, "lines": {"application/x-ndjson", lines, 500}, "batch": {"", batch, 500},
		"declared batch": {protobufBatch, batch, 500}, "SenML": {"", pack, 500}, "rarer SenML": {"", records, 3}, "rarer shapes": {"application/json", shaped, 2},
	} {
		d := bronze.Decoder{Received: received}
		var readings, faults int
		emit := func(uint32, reading.Reading) { readings++ }
		fault := func(f bronze.Fault) { faults++; t.Error(f.Detail) }
		d.Decode(c.contentType, c.payload, emit, fault) // names are made once
		if n := testing.AllocsPerRun(10, func() {
			readings = 0
			d.Decode(c.contentType, c.payload, emit, fault)
		}); n != 0 || readings != c.readings || faults != 0 {
			t.Errorf("%s: %v allocations, %d readings, %d faults", name, n, readings, faults)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	object, _, _ := payloads(b, 1)
	object = object[1 : len(object)-1]
	array, lines, batch := payloads(b, 500)
	for _, c := range []struct {
		name        string
		contentType string
		payload     []byte
		readings    int
	}{
		{"Object", "application/json", object, 1},
		{"Array500", "application/json", array, 500},
		{"Lines500", "application/x-ndjson", lines, 500},
		{"Batch500", protobufBatch, batch, 500},
		{"Batch500Sniffed", "", batch, 500},
		{"SenML500", "application/senml+json", senmlPack(500), 500},
	} {
		b.Run(c.name, func(b *testing.B) {
			var d bronze.Decoder
			var sum float64
			emit := func(_ uint32, r reading.Reading) { sum += r.Value }
			fault := func(f bronze.Fault) { b.Fatal(f.Detail) }
			b.SetBytes(int64(len(c.payload)))
			b.ReportAllocs()
			for b.Loop() {
				d.Decode(c.contentType, c.payload, emit, fault)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.readings), "ns/reading")
		})
	}
}
