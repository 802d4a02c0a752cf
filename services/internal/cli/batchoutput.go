package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/job"
)

// batchOutput prints what a run changes, or would: for people, or as objects.
type batchOutput struct {
	objects
	json bool
}

// changeObject is a window that changes as JSON has it.
type changeObject struct {
	Entity string       `json:"entity_id"`
	Metric string       `json:"metric"`
	Unit   string       `json:"unit"`
	Start  time.Time    `json:"start"`
	Width  string       `json:"width"`
	Before *statsObject `json:"before"` // null: the window is new
	After  statsObject  `json:"after"`
}

// statsObject is what a window says of its readings.
type statsObject struct {
	Readings uint64  `json:"readings"`
	Sum      float64 `json:"sum"`
}

func (o *batchOutput) change(c *gold.Change) {
	if !o.json {
		printChange(o.out, c)
		return
	}
	object := changeObject{
		Entity: c.Series.EntityID, Metric: c.Series.Metric, Unit: c.Series.Unit,
		Start: time.Unix(0, c.Start).UTC(), Width: c.Width.String(), After: statsObject{c.After.Count, c.After.Sum},
	}
	if c.Before != nil {
		object.Before = &statsObject{c.Before.Count, c.Before.Sum}
	}
	o.write("change", object)
}

// batchObject is what a run has read and changed as JSON has it, under the names of
// the API.
type batchObject struct {
	ID        string               `json:"id"`
	Kind      string               `json:"kind"`
	State     goldstore.BatchState `json:"state"`
	Epoch     uint64               `json:"epoch"`
	Messages  map[string]uint64    `json:"messages"` // by stream
	Readings  uint64               `json:"readings"`
	Versions  uint64               `json:"versions"`
	Refused   map[string]uint64    `json:"refused"` // by stage and rule
	New       uint64               `json:"windows_new"`
	Changed   uint64               `json:"windows_changed"`
	Unchanged uint64               `json:"windows_unchanged"`
	Added     uint64               `json:"versions_added"`
	Removed   uint64               `json:"versions_removed"`
	Limited   uint64               `json:"versions_limited"`
}

func (o *batchOutput) batch(b *goldstore.BatchRecord) {
	if !o.json {
		printBatch(o.out, b)
		return
	}
	counted := func(by map[string]uint64) map[string]uint64 {
		if by == nil {
			return map[string]uint64{}
		}
		return by
	}
	o.write("batch", batchObject{
		ID: b.ID, Kind: b.Kind, State: b.State, Epoch: b.Epoch,
		Messages: counted(b.Counts.Messages), Readings: b.Counts.Readings, Versions: b.Counts.Versions,
		Refused: counted(b.Counts.Refused),
		New:     b.Changes.Inserted, Changed: b.Changes.Updated, Unchanged: b.Changes.Unchanged,
		Added: b.Changes.Added, Removed: b.Changes.Removed, Limited: b.Changes.Limited,
	})
}

// printChange prints a window that changes.
func printChange(out io.Writer, c *gold.Change) {
	was := "new"
	var count uint64
	var sum float64
	if c.Before != nil {
		was, count, sum = "changed", c.Before.Count, c.Before.Sum
	}
	fmt.Fprintf(out, "%-8s %s  %s  %s  readings %d → %d  sum %s → %s\n", was, c.Series,
		time.Unix(0, c.Start).UTC().Format(time.RFC3339), c.Width, count, c.After.Count, number(sum), number(c.After.Sum))
}

// printBatch prints what a run has read and changed.
func printBatch(out io.Writer, b *goldstore.BatchRecord) {
	fmt.Fprintf(out, "batch %s  %s  %s  catalogue epoch %d\n", b.ID, b.Kind, b.State, b.Epoch)
	for _, stream := range slices.Sorted(maps.Keys(b.Counts.Messages)) {
		fmt.Fprintf(out, "read       %d messages of %s\n", b.Counts.Messages[stream], stream)
	}
	fmt.Fprintf(out, "readings   %d, %d judgements selected\n", b.Counts.Readings, b.Counts.Versions)
	for _, rule := range slices.Sorted(maps.Keys(b.Counts.Refused)) {
		fmt.Fprintf(out, "refused    %d by %s\n", b.Counts.Refused[rule], rule)
	}
	verb := ""
	if b.Kind == job.KindPlan {
		verb = "would be "
	}
	fmt.Fprintf(out, "windows    %d %snew, %d %schanged, %d unchanged\n",
		b.Changes.Inserted, verb, b.Changes.Updated, verb, b.Changes.Unchanged)
	fmt.Fprintf(out, "versions   %d %sadded, %d %sremoved\n", b.Changes.Added, verb, b.Changes.Removed, verb)
	if b.Changes.Limited > 0 {
		fmt.Fprintf(out, "limit      %d versions %srefused by windows that are full\n", b.Changes.Limited, verb)
	}
}
