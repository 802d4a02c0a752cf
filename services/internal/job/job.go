// Package job is what a batch run is asked to do, as its record keeps it.
package job

// Kinds of runs, as their records have them.
const (
	KindMerge   = "merge"
	KindRebuild = "rebuild"
	KindPlan    = "plan"
)

// Job is what a run replays, and how.
type Job struct {
	Layer     string    `json:"layer"` // readings, bronze or silver
	Selection Selection `json:"selection"`
	Rebuild   bool      `json:"rebuild,omitempty"`
}
