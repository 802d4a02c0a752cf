package reading_test

import (
	"hash/fnv"
	"testing"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/reading"
)

func TestPartitionIsFNV1a(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		entity, n := rapid.String().Draw(t, "entity"), rapid.Uint32Range(1, 64).Draw(t, "partitions")
		h := fnv.New32a()
		_, _ = h.Write([]byte(entity)) // a hash never fails
		if got, want := reading.Partition(entity, n), h.Sum32()%n; got != want {
			t.Fatalf("partition %d, want %d", got, want)
		}
	})
}

func TestRuleNumbersStay(t *testing.T) {
	t.Parallel()
	numbers := map[reading.Rule]string{
		0: "undecodable", 1: "limit", 2: "missing_entity", 3: "bad_identifier", 4: "non_finite_value",
		5: "unknown_unit", 6: "unit_mismatch", 7: "out_of_range", 8: "time_in_future", 9: "time_too_old",
		10: "spike", 11: "stuck", 12: "gap", 13: "jump", 14: "overlap",
		15: "exchange_mismatch",
	}
	for number, name := range numbers {
		if number.String() != name {
			t.Errorf("rule %d is %s, it was stored as %s", number, number, name)
		}
		if back, ok := reading.ParseRule(name); !ok || back != number {
			t.Errorf("%s parses as %d", name, back)
		}
	}
}

func TestQualities(t *testing.T) {
	t.Parallel()
	for q := reading.Unspecified; q.Valid(); q++ {
		if back, err := reading.ParseQuality(q.String()); err != nil || back != q {
			t.Errorf("%s parses as %s: %v", q, back, err)
		}
	}
	if _, err := reading.ParseQuality("guessed"); err == nil {
		t.Error("an unknown quality passes")
	}
}
