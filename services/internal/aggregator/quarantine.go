package aggregator

import (
	"context"
	"errors"
	"fmt"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/lifecycle"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/tracing"
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
	p := &projection{Deps: d, position: position}
	for {
		batch, err := reader.NextBatch(ctx, d.Limits)
		if err != nil {
			return lifecycle.Ended(ctx, fmt.Errorf("project quarantine: %w", err))
		}
		err = p.pass(work, batch.Messages)
		batch.Release()
		if err != nil {
			return lifecycle.Ended(ctx, fmt.Errorf("project quarantine: %w", err))
		}
	}
}

// projection is the state of Project: how far it is.
type projection struct {
	Deps
	position goldstore.Position
}

// pass keeps messages, in a span.
func (p *projection) pass(ctx context.Context, messages []broker.Message) error {
	ctx, span := p.Tracer.Batch(ctx, "quarantine batch", broker.Origins(ctx, messages))
	defer span.End()
	err := p.store(ctx, messages)
	if err != nil {
		tracing.Failed(ctx, err)
	}
	broker.Describe(span, QuarantineStage, broker.StreamQuarantine, messages)
	return err
}

// store keeps messages and moves the position behind them. Messages that cannot
// be stored for their own sake are bisected until the one that is at fault is
// found: it becomes an entry with its payload, as one that cannot be decoded
// does, so that it neither vanishes nor stops those behind it.
func (p *projection) store(ctx context.Context, messages []broker.Message) error {
	var all projected
	for i := range messages {
		all.add(&messages[i])
	}
	entries := uint64(len(all.rows) + len(all.decisions))
	err := p.project(ctx, messages, all, entries)
	if err == nil || !goldstore.IsEntryFault(err) {
		return err
	}
	if half := len(messages) / 2; half > 0 {
		if err := p.store(ctx, messages[:half]); err != nil {
			return err
		}
		return p.store(ctx, messages[half:])
	}
	tracing.Trouble(ctx, err)
	p.Logger.ErrorContext(ctx, "message cannot be stored and is kept as it is", "stage", QuarantineStage,
		"stream", p.position.Stream, "sequence", messages[0].Sequence, "entries", entries, "error", err)
	kept := projected{rows: []goldstore.QuarantineRow{foreignRow(&messages[0], err)}}
	return p.project(ctx, messages, kept, entries)
}

// project stores what messages hold, which stands for that many entries.
func (p *projection) project(ctx context.Context, messages []broker.Message, all projected, entries uint64) error {
	last := &messages[len(messages)-1]
	move := goldstore.PositionMove{
		Stage: QuarantineStage, Stream: p.position.Stream, Created: p.position.Created,
		From: p.position.Sequence, To: last.Sequence, Received: last.Received,
		Counts: goldstore.Counts{In: entries, Out: entries},
	}
	retryable := func(err error) bool {
		return ctx.Err() == nil && !goldstore.IsEntryFault(err) && !errors.Is(err, goldstore.ErrPositionMoved)
	}
	err := p.retry(ctx, QuarantineStage, retryable, func() error {
		return p.Store.ProjectQuarantine(ctx, move, all.rows, all.decisions)
	})
	if err == nil {
		p.position.Sequence = last.Sequence
	}
	return err
}

// projected is what messages hold.
type projected struct {
	rows      []goldstore.QuarantineRow
	decisions []goldstore.QuarantineDecision
}

// add takes in a message. One that is no batch becomes an entry itself, with its
// payload, so that nothing vanishes.
func (a *projected) add(m *broker.Message) {
	batch, err := wire.DecodeQuarantine(m.Data)
	if err != nil {
		a.rows = append(a.rows, foreignRow(m, err))
		return
	}
	a.rows = append(a.rows, QuarantineRows(batch)...)
	for stamp, decision := range batch.Resolved() {
		a.decisions = append(a.decisions, goldstore.QuarantineDecision{
			Stamp: stamp, Stage: batch.Stage, Resolution: batch.Resolution, Epoch: batch.Epoch, Decision: decision,
		})
	}
}

// QuarantineRows returns the entries of the quarantine that a batch has.
func QuarantineRows(batch *wire.Quarantine) []goldstore.QuarantineRow {
	rows := make([]goldstore.QuarantineRow, 0, batch.Len())
	for r := range batch.Refusals() {
		rows = append(rows, goldstore.QuarantineRow{
			Stamp: r.Stamp, Stage: batch.Stage, Rule: batch.Rule, Epoch: batch.Epoch,
			Rules: r.Rules, Reading: r.Reading, Detail: r.Detail, Payload: r.Payload,
		})
	}
	return rows
}

// foreignRow keeps a whole message that is no batch of entries that can be kept.
func foreignRow(m *broker.Message, err error) goldstore.QuarantineRow {
	r := refusal.Foreign(m, err)
	return goldstore.QuarantineRow{
		Stamp: r.Stamp, Stage: QuarantineStage, Rule: reading.Undecodable.String(),
		Rules: r.Rules, Detail: r.Detail, Payload: r.Payload,
	}
}

// Unstorable is the entry in place of one that cannot be kept for what it holds.
func Unstorable(row *goldstore.QuarantineRow, err error) []goldstore.QuarantineRow {
	return []goldstore.QuarantineRow{{
		Stamp: row.Stamp, Stage: QuarantineStage, Rule: reading.Undecodable.String(), Epoch: row.Epoch,
		Rules: row.Rules, Detail: fmt.Sprintf("entry of stage %.50q: %v", row.Stage, err),
		Payload: fmt.Appendf(nil, "%+v", row.Reading),
	}}
}
