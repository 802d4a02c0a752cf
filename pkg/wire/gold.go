package wire

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Statistics returns the contract's form of a partial, nil for that of no
// winner.
func Statistics(p *gold.Partial) *energyv1.Statistics {
	if p.Count == 0 {
		return nil
	}
	return &energyv1.Statistics{
		Count: p.Count, Sum: p.Sum,
		Min: p.Min, MinAtNs: p.MinAt, Max: p.Max, MaxAtNs: p.MaxAt,
		First: p.First, FirstAtNs: p.FirstAt, Last: p.Last, LastAtNs: p.LastAt,
		SquaredDeviations: p.SquaredDeviations,
		Energy:            p.Energy, Advance: p.Advance, CoveredNs: int64(p.Covered),
		Gaps: p.Gaps, Resets: p.Resets, Exchanges: p.Exchanges,
		EstimatedCount: p.EstimatedCount, CorrectedCount: p.CorrectedCount,
		EstimatedEnergy: p.EstimatedEnergy, CorrectedEnergy: p.CorrectedEnergy,
		Flags: uint64(p.Flags), Overlaps: p.Overlaps, Spikes: p.Spikes, Jumps: p.Jumps,
	}
}

// Consumption returns those statistics of a span without readings that readings
// around it give.
func Consumption(p *gold.Partial) *energyv1.Statistics {
	return &energyv1.Statistics{
		Energy: p.Energy, Advance: p.Advance, CoveredNs: int64(p.Covered),
		EstimatedEnergy: p.EstimatedEnergy, CorrectedEnergy: p.CorrectedEnergy,
	}
}

// Flags returns the rules that flagged readings, by number.
func Flags(p *gold.Partial) (flags []*energyv1.FlagCount) {
	for _, f := range p.FlagCounts() {
		one := &energyv1.FlagCount{Rule: f.Rule.String()}
		if f.Count > 0 {
			one.Count = &f.Count
		}
		flags = append(flags, one)
	}
	return flags
}

// Changes returns the feed message of a flush; id is its outbox entry's.
func Changes(id int64, changes []gold.Change) ([]byte, error) {
	message := &energyv1.GoldChanges{Id: id, Changes: make([]*energyv1.GoldChange, len(changes))}
	for i := range changes {
		c := &changes[i]
		message.Changes[i] = &energyv1.GoldChange{
			Series: SeriesKey(c.Series), StartNs: c.Start, WidthNs: int64(c.Width),
			After: Statistics(&c.After), Revision: c.Revision, Cause: energyv1.Cause(c.Cause),
			EdgeMoved: c.EdgeMoved(), ReachNs: c.Reach(),
		}
		if c.Before != nil {
			message.Changes[i].Before = Statistics(c.Before)
		}
	}
	data, err := proto.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("marshal changes: %w", err)
	}
	return data, nil
}

// ChangedRow names a row that a feed message reports.
type ChangedRow struct {
	Series     reading.Series
	Start, End int64 // Unix ns
	EdgeMoved  bool  // its first or last reading did, which neighbours depend on
	Reach      int64 // latest end of its readings, before or after, Unix ns; 0 when they cover no span
}

// DecodeChanges returns the rows that a feed message reports.
func DecodeChanges(data []byte) ([]ChangedRow, error) {
	message := new(energyv1.GoldChanges)
	if err := proto.Unmarshal(data, message); err != nil {
		return nil, fmt.Errorf("gold changes: %w: %w", ErrMalformed, err)
	}
	rows := make([]ChangedRow, len(message.GetChanges()))
	for i, c := range message.GetChanges() {
		rows[i] = ChangedRow{
			Series: SeriesOf(c.GetSeries()), Start: c.GetStartNs(), End: c.GetStartNs() + c.GetWidthNs(),
			EdgeMoved: c.GetEdgeMoved(), Reach: c.GetReachNs(),
		}
	}
	return rows, nil
}
