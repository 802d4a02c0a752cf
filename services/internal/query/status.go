package query

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Pipeline is where the state of the pipeline is read.
type Pipeline struct {
	JetStream  jetstream.JetStream
	Positions  *broker.Positions
	Partitions int
	Shards     int
}

// GetPipelineStatus reports streams, positions, lag and conservation (invariant 4).
func (s *Server) GetPipelineStatus(
	ctx context.Context, _ *energyv1.GetPipelineStatusRequest,
) (*energyv1.GetPipelineStatusResponse, error) {
	out, err := bounded(ctx, s.timeout, s.status)
	if err != nil {
		return nil, statusOf(err)
	}
	return out, nil
}

// status reads positions from the first stage to the last: what lay behind a
// stage's position when it was read is then counted by the next stage too, or
// is pending there. So nothing that merely moves looks lost.
func (s *Server) status(ctx context.Context) (*energyv1.GetPipelineStatusResponse, error) {
	p := s.pipeline
	kept, err := p.positions(ctx)
	if err != nil {
		return nil, err
	}
	ingest, err := p.stage(ctx, "ingest", p.Shards, func(n int) (source, broker.Position) {
		return source{broker.IngressStream(n), ""}, kept[stage.PositionKey("ingest", n)]
	})
	if err != nil {
		return nil, err
	}
	if kept, err = p.positions(ctx); err != nil {
		return nil, err
	}
	silver, err := p.stage(ctx, "silver", p.Partitions, func(n int) (source, broker.Position) {
		return source{broker.StreamBronze, broker.BronzeSubject(n)}, kept[stage.PositionKey("silver", n)]
	})
	if err != nil {
		return nil, err
	}
	positions, quarantine, err := s.stored(ctx)
	if err != nil {
		return nil, err
	}
	gold, err := p.stage(ctx, "gold", p.Partitions, func(n int) (source, broker.Position) {
		return source{broker.StreamSilver, broker.SilverSubject(n)}, positions[stage.PositionKey("gold", n)]
	})
	if err != nil {
		return nil, err
	}
	projected, err := p.stage(ctx, "quarantine", 1, func(int) (source, broker.Position) {
		return source{broker.StreamQuarantine, ""}, positions[stage.PositionKey("quarantine", 0)]
	})
	if err != nil {
		return nil, err
	}
	out := &energyv1.GetPipelineStatusResponse{
		Stages: []*energyv1.StageStatus{ingest, silver, gold, projected}, Quarantine: quarantine, CaughtUp: true,
	}
	conserve(out, map[string]uint64{"silver": p.again(kept), "gold": rejudged(kept)}, ingest, silver, gold)
	return out, p.streams(ctx, out)
}

// positions returns the positions that the broker keeps.
func (p Pipeline) positions(ctx context.Context) (map[string]broker.Position, error) {
	kept, err := p.Positions.List(ctx)
	if err != nil {
		return nil, brokerError{err}
	}
	return kept, nil
}

// source is what a stage reads for one partition.
type source struct{ stream, subject string }

// stage sums up the partitions of one stage.
func (p Pipeline) stage(
	ctx context.Context, name string, partitions int, at func(int) (source, broker.Position),
) (*energyv1.StageStatus, error) {
	out := &energyv1.StageStatus{Stage: name, Partitions: uint32(partitions)}
	now := time.Now()
	for n := range partitions {
		from, position := at(n)
		backlog, err := broker.Pending(ctx, p.JetStream, from.stream, from.subject, position.Sequence)
		if err != nil {
			return nil, brokerError{err}
		}
		out.ReadingsIn += position.Counts.In
		out.ReadingsOut += position.Counts.Out
		out.Quarantined += position.Counts.Quarantined
		out.PendingMessages += backlog.Messages
		if age := backlog.Age(now); backlog.Messages > 0 && age > out.GetLag().AsDuration() {
			out.Lag = durationpb.New(age)
		}
	}
	return out, nil
}

// rejudged returns how many judgements of readings that were judged again gold is
// to take in besides what silver passed on.
func rejudged(kept map[string]broker.Position) (sent uint64) {
	for key, position := range kept {
		if strings.HasPrefix(key, stage.RejudgeKeys) {
			sent += position.Counts.Out
		}
	}
	return sent
}

// again returns how many readings came back from quarantine, which silver took in
// besides what ingest passed on.
func (p Pipeline) again(kept map[string]broker.Position) (n uint64) {
	for partition := range p.Partitions {
		n += kept[stage.PositionKey("silver", partition)].Counts.Again
	}
	return n
}

// conserve compares what each stage passed on, and what else is known to have come
// besides by stages, with what the next took in.
func conserve(out *energyv1.GetPipelineStatusResponse, besides map[string]uint64, stages ...*energyv1.StageStatus) {
	for i, one := range out.GetStages() {
		if one.GetPendingMessages() > 0 {
			out.CaughtUp = false
		}
		if i == 0 || i >= len(stages) || one.GetPendingMessages() > 0 {
			continue
		}
		passed, taken := stages[i-1].GetReadingsOut()+besides[one.GetStage()], one.GetReadingsIn()
		if taken < passed {
			out.Missing += passed - taken
		} else {
			out.Redelivered += taken - passed
		}
	}
}

// stored reads the positions and counts that Postgres keeps.
func (s *Server) stored(ctx context.Context) (map[string]broker.Position, []*energyv1.QuarantineCount, error) {
	positions := make(map[string]broker.Position)
	var quarantine []*energyv1.QuarantineCount
	err := s.store.Read(ctx, func(tx *goldstore.ReadTx) error {
		all, err := tx.Positions(ctx)
		if err != nil {
			return err
		}
		for _, p := range all {
			positions[stage.PositionKey(p.Stage, int(p.Partition))] = broker.Position{
				Stream: p.Stream, Sequence: p.Sequence, Counts: broker.Counts{
					In: p.Counts.In, Out: p.Counts.Out, Quarantined: p.Counts.Quarantined,
				},
			}
		}
		counts, err := tx.QuarantineCounts(ctx)
		for _, c := range counts {
			quarantine = append(quarantine, &energyv1.QuarantineCount{Stage: c.Stage, Rule: c.Rule, Readings: c.Open})
		}
		return err
	})
	return positions, quarantine, err
}

func (p Pipeline) streams(ctx context.Context, out *energyv1.GetPipelineStatusResponse) error {
	statuses, err := broker.StreamStatuses(ctx, p.JetStream)
	if err != nil {
		return brokerError{err}
	}
	for _, s := range statuses {
		stream := &energyv1.StreamStatus{
			Name: s.Name, Messages: s.Messages, Bytes: s.Bytes, MaxBytes: uint64(s.MaxBytes),
			FirstSequence: s.FirstSequence, LastSequence: s.LastSequence,
		}
		if s.Messages > 0 {
			stream.FirstTime = timestamppb.New(s.FirstTime)
		}
		out.Streams = append(out.Streams, stream)
	}
	return nil
}
