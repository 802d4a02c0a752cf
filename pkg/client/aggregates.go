package client

import (
	"context"
	"iter"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Number is a number that may be absent.
type Number struct {
	Value float64 // 0 when absent
	Known bool
}

// Or returns the number, or another one when it is absent.
func (n Number) Or(other float64) float64 {
	if n.Known {
		return n.Value
	}
	return other
}

func number(v *float64) Number {
	if v == nil {
		return Number{}
	}
	return Number{*v, true}
}

// Group is the series of one metric and unit that have something in common.
type Group struct {
	Key    string // id of the parent, or value of the label; empty for none, and for all
	Metric string
	Unit   string
}

// Aggregate is the answer for one window of a series, or of a group when groups were
// asked for.
type Aggregate struct {
	Series     reading.Series // zero of a group
	Group      Group          // zero of a series
	Kind       Kind
	EnergyUnit string // such as kWh; empty where the metric has no energy
	PowerUnit  string // such as kW; empty where the metric has no energy

	Start, End time.Time // UTC
	Date       string    // of a calendar window, the local date on which it begins: 2026-03-29

	// Consumption is the energy of the window or, of a register, its advance, in
	// EnergyUnit. Windows sum to what the whole time has, also when two readings lie on
	// either side of a border. Interpolated is the part of a register's advance between
	// readings further apart than the metric's max_gap.
	Consumption, Interpolated Number
	// MeanPower is that over the window's length, in PowerUnit.
	MeanPower Number
	// Peak is the greatest mean power of a base window in this one, in PowerUnit, and
	// PeakAt when that begins.
	Peak   Number
	PeakAt time.Time

	// Of the values of the readings inside the window, in the series' unit.
	Mean, Min, Max Number
	MinAt, MaxAt   time.Time

	Received uint64 // readings that count
	Expected uint64 // readings expected; 0 where the cadence is unknown
	// Completeness is the share of the window or of its readings that was received, 0
	// to 1.
	Completeness Number
	// Shares of the readings, and of the consumption that rests on them, 0 to 1.
	EstimatedShare, EstimatedEnergyShare Number
	CorrectedShare, CorrectedEnergyShare Number
	// Gaps are pairs of readings further apart than max_gap; Resets falls of a register
	// read as a reset or rollover, Exchanges those read as another meter.
	Gaps, Resets, Exchanges uint64
	Flags                   []Flag

	Finality Finality
	ClosesAt time.Time // when the window closes, in receive time
	// EdgeOpen says that the next reading will account for a part of the window.
	EdgeOpen   bool
	Revision   int64     // grows whenever a row of the window changes
	LastChange time.Time // when one last did

	// Filled stands for the values of a window of which nothing is known, if asked for.
	Filled *Filled

	// Of a group: its series so far, and those of which something is known. A
	// consumption of fewer than all is too small.
	Members, Contributing uint32
}

// Flag is a rule that flagged readings of a window.
type Flag struct {
	Rule  string
	Count uint64 // readings that it flagged; 0 where they are not counted
}

// Filled is values made up for a window. They count nowhere else.
type Filled struct {
	Mean        Number // in the series' unit
	Consumption Number // in EnergyUnit
}

// Aggregates answers a question: series by series or group by group, windows in time
// order. Windows begin with the series' first reading; those without readings are
// answered with Received 0, unless GapFill leaves them out.
func (c *Client) Aggregates(ctx context.Context, q Question) iter.Seq2[Aggregate, error] {
	return func(yield func(Aggregate, error) bool) {
		if err := q.Window.check("aggregates"); err != nil {
			yield(Aggregate{}, err)
			return
		}
		for r, err := range responses(ctx, "aggregates", q.message(), c.query.QueryAggregates) {
			if err != nil {
				yield(Aggregate{}, err)
				return
			}
			of := head(r)
			of.Group = Group{Key: r.GetGroup().GetKey(), Metric: r.GetGroup().GetMetric(), Unit: r.GetGroup().GetUnit()}
			for _, a := range r.GetAggregates() {
				if !yield(of.window(a), nil) {
					return
				}
			}
		}
	}
}

// head is what the windows of a response have in common.
func head(r interface {
	GetSeries() *energyv1.SeriesKey
	GetKind() energyv1.Kind
	GetEnergyUnit() string
	GetPowerUnit() string
},
) Aggregate {
	return Aggregate{
		Series: seriesOf(r.GetSeries()), Kind: Kind(r.GetKind()),
		EnergyUnit: r.GetEnergyUnit(), PowerUnit: r.GetPowerUnit(),
	}
}

// window returns a with what a message says of one window.
func (a Aggregate) window(m *energyv1.Aggregate) Aggregate {
	a.Start, a.End, a.Date = timeOf(m.GetStart()), timeOf(m.GetEnd()), m.GetDate()
	a.Interpolated, a.MeanPower = number(m.InterpolatedEnergy), number(m.MeanPower)
	a.Peak, a.PeakAt = number(m.Peak), timeOf(m.GetPeakAt())
	a.Mean = number(m.Mean)
	a.Received, a.Expected, a.Completeness = m.GetReceived(), m.GetExpected(), number(m.Completeness)
	a.EstimatedShare, a.EstimatedEnergyShare = number(m.EstimatedShare), number(m.EstimatedEnergyShare)
	a.CorrectedShare, a.CorrectedEnergyShare = number(m.CorrectedShare), number(m.CorrectedEnergyShare)
	a.Finality, a.ClosesAt, a.EdgeOpen = Finality(m.GetFinality()), timeOf(m.GetClosesAt()), m.GetEdgeOpen()
	a.Revision, a.LastChange = m.GetRevision(), timeOf(m.GetLastChange())
	a.Members, a.Contributing = m.GetMembers(), m.GetContributing()
	a.statistics(m.GetStatistics())
	for _, f := range m.GetFlags() {
		a.Flags = append(a.Flags, Flag{Rule: f.GetRule(), Count: f.GetCount()})
	}
	if f := m.GetFilled(); f != nil {
		a.Filled = &Filled{Mean: number(f.Mean), Consumption: number(f.Energy)}
	}
	return a
}

// statistics sets what is absent where nothing is known of the window.
func (a *Aggregate) statistics(s *energyv1.Statistics) {
	if s == nil {
		return
	}
	switch {
	case a.EnergyUnit == "":
	case a.Kind == Register:
		a.Consumption = Number{s.GetAdvance(), true}
	default:
		a.Consumption = Number{s.GetEnergy(), true}
	}
	a.Gaps, a.Resets, a.Exchanges = s.GetGaps(), s.GetResets(), s.GetExchanges()
	if s.GetCount() > 0 {
		a.Min, a.MinAt = Number{s.GetMin(), true}, time.Unix(0, s.GetMinAtNs()).UTC()
		a.Max, a.MaxAt = Number{s.GetMax(), true}, time.Unix(0, s.GetMaxAtNs()).UTC()
	}
}
