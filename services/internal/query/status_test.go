package query

import (
	"testing"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func TestConservation(t *testing.T) {
	t.Parallel()
	stage := func(in, out, pending uint64) *energyv1.StageStatus {
		return &energyv1.StageStatus{ReadingsIn: in, ReadingsOut: out, PendingMessages: pending}
	}
	tests := []struct {
		name                 string
		ingest, silver, gold *energyv1.StageStatus
		missing, redelivered uint64
		caughtUp             bool
	}{
		{"all that was passed on arrived", stage(10, 9, 0), stage(9, 8, 0), stage(8, 8, 0), 0, 0, true},
		{"what is pending is not missing", stage(10, 10, 0), stage(4, 4, 1), stage(4, 4, 0), 0, 0, false},
		{"what never arrived is missing", stage(10, 10, 0), stage(10, 10, 0), stage(7, 7, 0), 3, 0, true},
		{"what came twice is redelivered", stage(10, 10, 0), stage(12, 12, 0), stage(12, 12, 0), 0, 2, true},
		{"the first stage has nobody before it", stage(10, 10, 5), stage(10, 10, 0), stage(10, 10, 0), 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out := &energyv1.GetPipelineStatusResponse{
				Stages: []*energyv1.StageStatus{tt.ingest, tt.silver, tt.gold, stage(0, 0, 0)}, CaughtUp: true,
			}
			conserve(out, nil, tt.ingest, tt.silver, tt.gold)
			if out.GetMissing() != tt.missing || out.GetRedelivered() != tt.redelivered || out.GetCaughtUp() != tt.caughtUp {
				t.Errorf("missing %d, redelivered %d, caught up %t", out.GetMissing(), out.GetRedelivered(), out.GetCaughtUp())
			}
		})
	}
}
