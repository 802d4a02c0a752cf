package bronze_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func TestAppendJSON(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reading reading.Reading
		want    string
	}{
		"a reading with everything": {
			reading.Reading{EntityID: "m1", Metric: "active_energy", Unit: "kWh", Time: 1769860800123456789, Value: 12.5,
				Revision: 3, Length: 15 * time.Minute, Quality: reading.Estimated, Exchange: true, ExchangeStart: 0.5},
			`{"entity_id":"m1","metric":"active_energy","time":"2026-01-31T12:00:00.123456789Z","value":12.5,` +
				`"unit":"kWh","quality":"estimated","revision":3,"length":"15m0s",` +
				`"exchange_start":0.5}`},
		"what says nothing is left out": {
			reading.Reading{EntityID: "m\"\n", Metric: "m"},
			`{"entity_id":"m\"\n","metric":"m","time":"1970-01-01T00:00:00Z","value":0}`},
		"a value that JSON has no number for": {
			reading.Reading{EntityID: "m", Metric: "m", Value: math.Inf(-1)},
			`{"entity_id":"m","metric":"m","time":"1970-01-01T00:00:00Z","value":"-Inf"}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, string(bronze.AppendJSON(nil, &c.reading))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzEncode holds the encoder against encoding/json, protobuf and ingest.
func FuzzEncode(f *testing.F) {
	f.Add("m1", "kWh", int64(1769860800123456789), 12.5, uint64(1), int64(900e9), uint8(2), 0.5)
	f.Add("é\u2028<", "\x7f", int64(math.MinInt64), 5e-324, uint64(1<<64-1), int64(1), uint8(4), 1e-30)
	f.Add("", "", int64(math.MaxInt64), math.MaxFloat64, uint64(0), int64(0), uint8(0), 0.0)
	f.Add("a", "b", int64(-1), math.Copysign(0, -1), uint64(0), int64(math.MaxInt64), uint8(1), 3.0)
	f.Add("a", "b", int64(-1), math.NaN(), uint64(0), int64(0), uint8(1), math.Inf(-1))
	f.Fuzz(func(t *testing.T, entity, unit string, at int64, value float64, revision uint64, length int64, quality uint8,
		start float64,
	) {
		if !utf8.ValidString(entity) || !utf8.ValidString(unit) || length < 0 {
			return
		}
		r := reading.Reading{EntityID: entity, Metric: "m", Unit: unit, Time: at, Value: value, Revision: revision,
			Length: time.Duration(length), Quality: reading.Quality(quality % 5)}
		if r.Exchange = quality%2 == 0; r.Exchange {
			r.ExchangeStart = start
		}
		text := bronze.AppendJSON(nil, &r)
		var object struct {
			EntityID string    `json:"entity_id"`
			Unit     string    `json:"unit"`
			Time     time.Time `json:"time"`
			Value    any       `json:"value"`
			Revision uint64    `json:"revision"`
		}
		if err := json.Unmarshal(text, &object); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		v, _ := object.Value.(float64)
		finite := !math.IsNaN(value) && !math.IsInf(value, 0)
		if finite && math.Float64bits(v) != math.Float64bits(value) || object.EntityID != entity || object.Unit != unit ||
			object.Time.UnixNano() != at || object.Revision != revision {
			t.Errorf("%s is read as %+v", text, object)
		}
		packed := bronze.AppendProtobuf(nil, &r)
		var m energyv1.Reading
		if err := proto.Unmarshal(packed, &m); err != nil || m.Time.AsTime().UnixNano() != at ||
			math.Float64bits(m.Value) != math.Float64bits(value) || m.Length.AsDuration() != r.Length ||
			m.EntityId != entity || m.Unit != unit || m.Revision != revision || uint8(m.Quality) != quality%5 ||
			r.Exchange != (m.ExchangeStart != nil) || !equal(m.GetExchangeStart(), r.ExchangeStart) {
			t.Errorf("%v: %v is not %+v", err, &m, r)
		}
		for kind, payload := range map[string][]byte{bronze.TypeJSON: text, bronze.TypeProtobuf: packed} {
			ingested(t, kind, payload, r)
		}
	})
}

// ingested checks what ingest makes of a payload.
func ingested(t *testing.T, contentType string, payload []byte, want reading.Reading) {
	t.Helper()
	var d bronze.Decoder
	unknown := d.Decode(contentType, payload, func(_ uint32, got reading.Reading) {
		same := equal(got.Value, want.Value) && equal(got.ExchangeStart, want.ExchangeStart)
		got.Value, want.Value, got.ExchangeStart, want.ExchangeStart = 0, 0, 0, 0
		if !same || got != want {
			t.Errorf("ingest reads %+v, not %+v", got, want)
		}
	}, func(fault bronze.Fault) { t.Errorf("ingest refuses %q: %s", payload, fault.Detail) })
	if unknown != 0 {
		t.Errorf("%d fields of %q are unknown to ingest", unknown, payload)
	}
}

func equal(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
