package metrics

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// Outcome is what became of a reading in a stage.
type Outcome int

// The outcomes.
const (
	Accepted    Outcome = iota // passed on; in gold: stored
	Flagged                    // passed on, by a rule that only flags
	Quarantined                // refused, and kept with the reason
	Duplicate                  // stored before: it changed nothing
	outcomes
)

// String returns the outcome as its label has it.
func (o Outcome) String() string {
	return [outcomes]string{"accepted", "flagged", "quarantined", "duplicate"}[o]
}

// Stage is what a stage counts. Nil counts nothing.
type Stage struct {
	m       *Metrics
	stage   metric.MeasurementOption
	outcome [outcomes]metric.MeasurementOption
}

// Stage returns the counts of the stage of that name.
func (m *Metrics) Stage(name string) *Stage {
	if m == nil {
		return nil
	}
	s := &Stage{m: m, stage: labels("stage", name)}
	for o := range outcomes {
		s.outcome[o] = labels("stage", name, "outcome", o.String())
	}
	return s
}

// Readings counts readings by what became of them.
func (s *Stage) Readings(ctx context.Context, o Outcome, n uint64) {
	if s != nil && n > 0 {
		s.m.readings.Add(ctx, int64(n), s.outcome[o])
	}
}

// Batch counts a batch that has been dealt with since it began.
func (s *Stage) Batch(ctx context.Context, began time.Time) {
	if s != nil {
		s.m.seconds.Record(ctx, time.Since(began).Seconds(), s.stage)
	}
}

// Retried counts something that is done again, since a server did not do it.
func (s *Stage) Retried(ctx context.Context) {
	if s != nil {
		s.m.retries.Add(ctx, 1, s.stage)
	}
}

// Poison counts a message that cannot be dealt with for its own sake.
func (s *Stage) Poison(ctx context.Context) {
	if s != nil {
		s.m.poison.Add(ctx, 1, s.stage)
	}
}

// Rewound counts a position that did not fit its stream any more.
func (s *Stage) Rewound(ctx context.Context) {
	if s != nil {
		s.m.rewinds.Add(ctx, 1, s.stage)
	}
}

// Rows is how rows of gold have changed.
type Rows struct{ Inserted, Updated, Restated int }

// Gold is what gold counts besides its stage. Nil counts nothing.
type Gold struct {
	m                           *Metrics
	inserted, updated, restated metric.MeasurementOption
}

// Gold returns the counts of gold.
func (m *Metrics) Gold() *Gold {
	if m == nil {
		return nil
	}
	return &Gold{m, labels("change", "inserted"), labels("change", "updated"), labels("change", "restated")}
}

// Rows counts rows that a flush has changed.
func (g *Gold) Rows(ctx context.Context, r Rows) {
	if g == nil {
		return
	}
	g.m.rows.Add(ctx, int64(r.Inserted), g.inserted)
	g.m.rows.Add(ctx, int64(r.Updated), g.updated)
	g.m.rows.Add(ctx, int64(r.Restated), g.restated)
}

// Corrections counts corrections and withdrawals that were taken in.
func (g *Gold) Corrections(ctx context.Context, n uint64) {
	if g != nil && n > 0 {
		g.m.corrections.Add(ctx, int64(n))
	}
}
