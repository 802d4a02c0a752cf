package ask

import (
	"fmt"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Conservation says in a sentence whether readings are missing.
func Conservation(s *energyv1.GetPipelineStatusResponse) string {
	switch {
	case s.GetMissing() > 0:
		return fmt.Sprintf("MISSING: %d readings were passed on and never taken in", s.GetMissing())
	case !s.GetCaughtUp():
		return "catching up: nothing is known to be missing"
	case s.GetRedelivered() > 0:
		return fmt.Sprintf("caught up: no reading is known to be missing; %d were delivered again and merged away",
			s.GetRedelivered())
	default:
		return "caught up: no reading is known to be missing"
	}
}
