package bronze_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// TestFormatsAgree publishes the same readings in every format.
func TestFormatsAgree(t *testing.T) {
	t.Parallel()
	tb := t
	one := rapid.Custom(func(t *rapid.T) reading.Reading {
		return reading.Reading{
			EntityID: rapid.OneOf(rapid.StringMatching(`[a-z][a-z0-9:./]{0,9}`), rapid.StringN(1, 9, -1)).Draw(t, "entity"),
			Metric:   rapid.StringMatching(`[a-z0-9_.:]{1,9}`).Draw(t, "metric"),
			Unit:     rapid.SampledFrom([]string{"", "kWh", "W", "l/s", "m³", "?", "1", "°C", "%"}).Draw(t, "unit"),
			Time:     rapid.Int64Range(1<<28*1e9, math.MaxInt64).Draw(t, "time"),
			Value:    rapid.Float64().Draw(t, "value"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		readings := rapid.SliceOfN(one, 1, 5).Draw(t, "readings")
		split := rapid.IntRange(0, 1<<20)
		var objects, records []string
		var batch energyv1.ReadingBatch
		for _, r := range readings {
			objects = append(objects, jsonObject(r))
			records = append(records, senmlObject(r, split.Draw(t, "name"), int64(split.Draw(t, "seconds"))))
			batch.Readings = append(batch.Readings, &energyv1.Reading{
				EntityId: r.EntityID, Metric: r.Metric, Unit: r.Unit, Value: r.Value, Time: timestamppb.New(time.Unix(0, r.Time)),
			})
		}
		check := func(contentType string, payload []byte, want []reading.Reading) {
			got, unknown := decode(tb, contentType, payload)
			if len(got) != len(want) || unknown != 0 {
				t.Fatalf("%q has %d outcomes, %d unknown fields", payload, len(got), unknown)
			}
			for i := range want {
				if got[i].Fault != "" || !sameBits(got[i].Reading, want[i]) {
					t.Fatalf("%q at %d is %+v, want %+v", payload, i, got[i], want[i])
				}
			}
		}
		for _, contentType := range []string{"", "application/json"} {
			check(contentType, []byte(objects[0]), readings[:1])
			check(contentType, []byte("["+strings.Join(objects, ",")+"]"), readings)
			check(contentType, []byte(strings.Join(objects, "\n")), readings)
			check(contentType, []byte("["+strings.Join(records, ",")+"]"), readings)
		}
		check("application/x-ndjson", []byte(strings.Join(objects, "\n")), readings)
		check(senml, []byte("["+strings.Join(records, ",")+"]"), readings)
		check(sensml, []byte("["+strings.Join(records, ",")), readings)
		for _, contentType := range []string{"", protobufBatch} {
			check(contentType, marshal(tb, &batch), readings)
		}
		check(protobufReading, marshal(tb, batch.Readings[0]), readings[:1])
		check("", marshal(tb, batch.Readings[0]), readings[:1])
	})
}

func jsonObject(r reading.Reading) string {
	b, _ := json.Marshal(map[string]any{ // these types never fail
		"entity_id": r.EntityID, "metric": r.Metric, "unit": r.Unit, "value": r.Value,
		"time": time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano),
	})
	return string(b)
}

// senmlObject writes a reading whose name and time are split between base and
// record.
func senmlObject(r reading.Reading, split int, seconds int64) string {
	name := []rune(r.EntityID + "/" + r.Metric)
	split %= len(name) + 1
	symbols := map[string]string{"1": "/", "°C": "Cel", "%": "%RH"}
	unit := r.Unit
	if symbol, ok := symbols[unit]; ok {
		unit = symbol
	}
	texts := make([]string, 0, 3)
	for _, s := range []string{string(name[:split]), string(name[split:]), unit} {
		b, _ := json.Marshal(s)
		texts = append(texts, string(b))
	}
	return fmt.Sprintf(`{"bn":%s,"n":%s,"bu":%s,"bt":%d,"t":%d.%09d,"v":%s}`, texts[0], texts[1], texts[2],
		seconds, r.Time/1e9-seconds, r.Time%1e9, strconv.FormatFloat(r.Value, 'g', -1, 64))
}
