package app

import (
	"runtime/debug"
	"slices"
	"strings"
)

// collectAt is how much the heap of a stage grows from one collection of garbage to the
// next, in per cent of what is in use. Stages hold little and make much garbage: at the
// runtime's 100 they would collect many times a second.
const collectAt = 400

// tune sets when a process that says what memory it needs collects garbage: seldom, but
// always before it has taken more than that. Whoever sets GOGC or GOMEMLIMIT decides.
func tune(environment []string, settings any) {
	s, ok := settings.(interface{ Memory() int64 })
	decided := slices.ContainsFunc(environment, func(v string) bool {
		return strings.HasPrefix(v, "GOGC=") || strings.HasPrefix(v, "GOMEMLIMIT=")
	})
	if !ok || decided {
		return
	}
	debug.SetGCPercent(collectAt)
	debug.SetMemoryLimit(s.Memory())
}
