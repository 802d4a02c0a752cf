package client

import (
	"context"
	"time"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Status is the state of the pipeline.
type Status struct {
	Streams []Stream
	Stages  []Stage
	// CaughtUp says whether every stage has taken in all that was stored before it.
	CaughtUp bool
	// Missing is readings that a stage passed on and the next one, with nothing
	// pending, has not taken in. Not 0 means loss.
	Missing uint64
	// Redelivered is readings that gold took in more than once; merging made them
	// harmless.
	Redelivered uint64
	Quarantine  []Quarantined
}

// Stream is one stream of the broker.
type Stream struct {
	Name                        string
	Messages                    uint64
	Bytes, MaxBytes             uint64
	FirstSequence, LastSequence uint64
	FirstTime                   time.Time // when the first was stored; zero when there is none
}

// Stage sums the partitions of one stage: "ingest", "silver", "gold" or "quarantine".
type Stage struct {
	Name            string
	Partitions      uint32
	ReadingsIn      uint64
	ReadingsOut     uint64 // passed on or, for gold, merged
	Quarantined     uint64
	PendingMessages uint64        // stored before the stage, and not yet taken in
	Lag             time.Duration // age of the oldest of them; 0 when there is none
}

// Quarantined is how many readings of a stage and rule are still in quarantine.
type Quarantined struct {
	Stage, Rule string
	Readings    uint64
}

// Status asks for the state of the pipeline.
func (c *Client) Status(ctx context.Context) (Status, error) {
	m, err := c.query.GetPipelineStatus(ctx, &energyv1.GetPipelineStatusRequest{})
	if err != nil {
		return Status{}, failed("status", err)
	}
	s := Status{CaughtUp: m.GetCaughtUp(), Missing: m.GetMissing(), Redelivered: m.GetRedelivered()}
	for _, one := range m.GetStreams() {
		s.Streams = append(s.Streams, Stream{
			Name: one.GetName(), Messages: one.GetMessages(), Bytes: one.GetBytes(), MaxBytes: one.GetMaxBytes(),
			FirstSequence: one.GetFirstSequence(), LastSequence: one.GetLastSequence(),
			FirstTime: timeOf(one.GetFirstTime()),
		})
	}
	for _, one := range m.GetStages() {
		s.Stages = append(s.Stages, Stage{
			Name: one.GetStage(), Partitions: one.GetPartitions(), ReadingsIn: one.GetReadingsIn(),
			ReadingsOut: one.GetReadingsOut(), Quarantined: one.GetQuarantined(),
			PendingMessages: one.GetPendingMessages(), Lag: one.GetLag().AsDuration(),
		})
	}
	for _, one := range m.GetQuarantine() {
		s.Quarantine = append(s.Quarantine, Quarantined{one.GetStage(), one.GetRule(), one.GetReadings()})
	}
	return s, nil
}
