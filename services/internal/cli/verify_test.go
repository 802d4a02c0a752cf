package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/refusal"
)

// TestLostRefusalsSayWhereTheyAre: a message of BRONZE is told as that, and what was never
// a reading is not told as one without a name.
func TestLostRefusalsSayWhereTheyAre(t *testing.T) {
	t.Parallel()
	named := reading.Reading{EntityID: "a", Metric: "u"}
	for want, row := range map[string]goldstore.QuarantineRow{
		"silver out_of_range of a u, message 7 of READINGS, ": {
			Stage: "silver", Rule: "out_of_range", Reading: named, Stamp: reading.Stamp{Sequence: 7},
		},
		"ingest undecodable of what names no reading, message 7 of READINGS, ": {
			Stage: "ingest", Rule: "undecodable", Stamp: reading.Stamp{Sequence: 7},
		},
		"silver undecodable of what names no reading, message 7 of BRONZE, ": {
			Stage: "silver", Rule: "undecodable", Stamp: reading.Stamp{Sequence: 7, Stream: refusal.ForeignStream},
		},
	} {
		var out bytes.Buffer
		f := findings{objects: objects{out: &out}, told: make(map[string]int)}
		if f.refused(&row); !strings.Contains(out.String(), want) {
			t.Errorf("it says %q, want %q", out.String(), want)
		}
	}
}
