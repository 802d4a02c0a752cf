// Package rejudge judges what BRONZE holds again and sends the judgements to
// SILVER.
//
// What is sent of a reading are its judgements under all epochs of the
// catalogue. They depend on the reading and the epochs alone, and gold merges
// them as it merges everything. So it is safe beside live traffic, may be
// stopped anywhere, and changes nothing when it is done again. When SILVER is
// full it waits, as every stage does.
package rejudge

import (
	"context"
	"log/slog"
	"strconv"
	"strings"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Key names the position of re-judging a partition under an epoch. Its counts are
// of readings in, judgements out, and refusals.
func Key(epoch uint64, partition int) string { return stage.PositionKey(name(epoch), partition) }

// Of reports whether a key names a position of re-judging under an epoch.
func Of(epoch uint64, key string) bool { return strings.HasPrefix(key, name(epoch)+".") }

func name(epoch uint64) string { return stage.RejudgeKeys + strconv.FormatUint(epoch, 10) }

// Job is which readings to judge again.
type Job struct {
	Epochs catalog.Epochs // up to the one to judge under
	// Selected tells the metrics. It must be the same, or tell more, whenever a
	// job of the same epoch is run.
	Selected func(metric string) bool
	Marks    broker.Marks // of the epoch
	// Since tells of a sequence of a partition which epoch is the first that can have
	// put what stands there into quarantine for good: earlier ones did not judge it, or
	// what became of it then was told.
	Since  func(partition int, sequence uint64) uint64
	Limits broker.BatchLimits
}

// Run judges the readings of one partition again that stand before the epoch's
// marker or were received before the last of its markers, as far as they stand in
// BRONZE up to a sequence. It goes on from where a run of the same epoch and
// partition was stopped.
func Run(ctx context.Context, d stage.Deps, j Job, partition int, until uint64) error {
	again := cleaner.Again{
		Selected: j.Selected, Mark: j.Marks.Sequences[partition], Before: j.Marks.Behind,
		Since: func(sequence uint64) uint64 { return j.Since(partition, sequence) },
	}
	renew := func() cleaner.Process { return cleaner.NewRejudger(partition, j.Epochs, again).Rejudge }
	return stage.Run(ctx, d, config(j, partition, until, renew, d.Logger))
}

// config has bronze judged. A reading that cannot be, for its own sake, goes to
// quarantine, as it does where it is judged first.
func config(j Job, partition int, until uint64, renew func() cleaner.Process, log *slog.Logger) stage.Config {
	return stage.Config{
		Key:    Key(j.Epochs.Len(), partition),
		Stream: broker.StreamBronze, Subject: broker.BronzeSubject(partition),
		OutStreams: []string{broker.StreamSilver, broker.StreamQuarantine},
		Limits:     j.Limits, Until: until,
		Process: renew(),
		Poison:  &stage.Poison{Renew: renew, Refuse: cleaner.NewIsolator(renew, log).Refuse},
	}
}
