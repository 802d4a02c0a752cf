package aggregator

import (
	"context"
	"fmt"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/lifecycle"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/refusal"
)

// QuarantineStage is the name of the quarantine's position.
const QuarantineStage = "quarantine"

// Project keeps the quarantine's stream in Postgres until ctx ends. Entries are
// keyed by stamp, stage, rule and epoch, so that a repeat changes nothing.
func Project(ctx context.Context, d Deps) error {
	work, cancel := lifecycle.Drain(ctx, d.Grace)
	defer cancel()
	log := d.Logger.With("stage", QuarantineStage)
	reader, position, err := open(ctx, d, source{broker.StreamQuarantine, "", QuarantineStage, 0}, log)
	if err != nil {
		return lifecycle.Ended(ctx, fmt.Errorf("project quarantine: %w", err))
	}
	defer reader.Close()
	d.Report(QuarantineStage, nil)
	for {
		batch, err := reader.NextBatch(ctx, d.Limits)
		if err != nil {
			return lifecycle.Ended(ctx, fmt.Errorf("project quarantine: %w", err))
		}
		var rows []goldstore.QuarantineRow
		for i := range batch.Messages {
			rows = append(rows, quarantineRows(&batch.Messages[i])...)
		}
		n := uint64(len(rows))
		move := goldstore.PositionMove{
			Stage: QuarantineStage, Stream: position.Stream, Created: position.Created,
			From: position.Sequence, To: batch.Last, Received: batch.Messages[len(batch.Messages)-1].Received,
			Counts: goldstore.Counts{In: n, Out: n},
		}
		err = d.retry(work, QuarantineStage, goldstore.IsRetryable, func() error {
			return d.Store.ProjectQuarantine(work, move, rows)
		})
		batch.Release()
		if err != nil {
			return lifecycle.Ended(ctx, fmt.Errorf("project quarantine: %w", err))
		}
		position.Sequence = batch.Last
	}
}

// quarantineRows returns the entries of a message. A message that is not one
// becomes an entry itself, with its payload, so that nothing vanishes.
func quarantineRows(m *broker.Message) []goldstore.QuarantineRow {
	batch, err := wire.DecodeQuarantine(m.Data)
	if err != nil {
		r := refusal.Foreign(m, err)
		return []goldstore.QuarantineRow{{
			Stamp: r.Stamp, Stage: QuarantineStage, Rule: reading.Undecodable.String(),
			Rules: r.Rules, Detail: r.Detail, Payload: r.Payload,
		}}
	}
	rows := make([]goldstore.QuarantineRow, 0, batch.Len())
	for r := range batch.Refusals() {
		rows = append(rows, goldstore.QuarantineRow{
			Stamp: r.Stamp, Stage: batch.Stage, Rule: batch.Rule, Epoch: batch.Epoch,
			Rules: r.Rules, Reading: r.Reading, Detail: r.Detail, Payload: r.Payload,
		})
	}
	return rows
}
