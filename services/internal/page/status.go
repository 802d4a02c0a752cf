package page

import (
	"context"
	"strings"
	"time"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

// fresh is how old a state of the pipeline may be. All who look share it, so
// that many open pages cost the broker no more than one.
const fresh = 2 * time.Second

// pulse asks for the state of the pipeline.
type pulse struct {
	client energyv1.QueryServiceClient
	turn   chan struct{} // held by whoever uses what follows
	at     time.Time
	last   *energyv1.GetPipelineStatusResponse
}

func newPulse(client energyv1.QueryServiceClient) *pulse {
	return &pulse{client: client, turn: make(chan struct{}, 1)}
}

func (p *pulse) ask(ctx context.Context) (*energyv1.GetPipelineStatusResponse, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.last != nil && time.Since(p.at) < fresh {
		return p.last, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := p.client.GetPipelineStatus(ctx, &energyv1.GetPipelineStatusRequest{})
	if err != nil {
		return nil, err
	}
	p.last, p.at = s, time.Now()
	return s, nil
}

// pipeline is the state of the pipeline as it is shown.
type pipeline struct {
	Trouble    string // why there is nothing else to show
	State      string // "ok", "busy" or "bad"
	Sentence   string
	Stages     []stage
	Streams    []stream
	Quarantine []refusals
}

type stage struct {
	Name, Partitions, In, Out, Quarantined, Pending, Lag string
	Waits                                                bool
}

type stream struct {
	Name, Messages, Bytes, Limit, Fill string
	Used                               string // of 80 pixels
	Near                               bool   // near the limit, where producers are refused
}

type refusals struct{ Stage, Rule, Readings string }

// status returns the state of the pipeline. What it cannot learn does not keep
// the page from showing the rest.
func (p *page) status(ctx context.Context) *pipeline {
	s, err := p.pulse.ask(ctx)
	if err != nil {
		return &pipeline{State: "bad", Sentence: "The state of the pipeline is not known.", Trouble: problemOf(err).Detail}
	}
	return pipelineOf(s)
}

func pipelineOf(s *energyv1.GetPipelineStatusResponse) *pipeline {
	out := &pipeline{State: "ok", Sentence: capital(ask.Conservation(s))}
	switch {
	case s.GetMissing() > 0:
		out.State = "bad"
	case !s.GetCaughtUp():
		out.State = "busy"
	}
	for _, one := range s.GetStages() {
		row := stage{
			Name: one.GetStage(), Partitions: count(uint64(one.GetPartitions())), In: count(one.GetReadingsIn()),
			Out: count(one.GetReadingsOut()), Quarantined: count(one.GetQuarantined()),
			Pending: count(one.GetPendingMessages()), Lag: "–", Waits: one.GetPendingMessages() > 0,
		}
		if one.GetLag() != nil {
			row.Lag = lasting(one.GetLag().AsDuration())
		}
		out.Stages = append(out.Stages, row)
	}
	for _, one := range s.GetStreams() {
		row := stream{
			Name: one.GetName(), Messages: count(one.GetMessages()), Bytes: bytesOf(one.GetBytes()), Limit: "none",
		}
		if most := one.GetMaxBytes(); most > 0 {
			full := float64(one.GetBytes()) / float64(most)
			row.Limit, row.Fill = bytesOf(most), percent(full)
			row.Used, row.Near = coordinate(80*min(full, 1)), full >= 0.8
		}
		out.Streams = append(out.Streams, row)
	}
	for _, one := range s.GetQuarantine() {
		out.Quarantine = append(out.Quarantine, refusals{one.GetStage(), one.GetRule(), count(one.GetReadings())})
	}
	return out
}

func capital(sentence string) string { return strings.ToUpper(sentence[:1]) + sentence[1:] }
