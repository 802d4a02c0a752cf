package bronze_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/reading"
)

func TestFieldLike(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"qualty": "quality", "qualitty": "quality", "entityId": "entity_id", "Entity": "entity_id", "Timestamp": "time",
		"TS": "time", "Value": "value", "units": "unit", "lenth": "length", "exchangeStart": "exchange_start",
		"revison": "revision", "metrics": "metric",
	} {
		if got, ok := bronze.FieldLike(name); got != want || !ok {
			t.Errorf("%s is like %q, want %s", name, got, want)
		}
	}
	for _, name := range []string{
		"entity", "ts", "value", "", "name", "site", "tags", "device", "unit_id", "timezone", "id", "version", "état",
	} {
		if got, ok := bronze.FieldLike(name); ok {
			t.Errorf("%s is like %s", name, got)
		}
	}
}

func TestUnknownMembersAreTold(t *testing.T) {
	t.Parallel()
	var told []string
	d := bronze.Decoder{Unknown: func(name []byte) { told = append(told, string(name)) }}
	d.Decode("application/json", []byte(`{"entity_id":"m","qualty":"x","\u0076alue":1,"time":0,"a\u0062":{"c":1}}`),
		func(uint32, reading.Reading) {}, func(bronze.Fault) {})
	if diff := cmp.Diff([]string{"ab", "qualty"}, slices.Sorted(slices.Values(told))); diff != "" {
		t.Error(diff)
	}
}
