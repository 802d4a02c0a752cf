package gold

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
)

// Spread gives each base window of a series what lies in it of readings that
// cover spans, whichever row they begin in. It takes base rows and emits pieces:
// the rows themselves where nothing lies across their edges, which costs
// nothing; else rows with the shares of earlier readings, and pieces for base
// windows without a row that an earlier reading covers. Pieces do not overlap,
// come in order and lie inside one window each.
//
// Energy and covered time of a piece are those of its span; where readings overlap,
// their energies add and the time counts once (invariant 10). What else there is of a
// reading belongs to the piece that it begins in.
type Spread struct {
	metric   *catalog.Metric
	windows  Windows // that cut rows; the zero value cuts none
	from, to int64
	emit     func(*Stored) error
	history  catalog.History
	at       int64    // all before is emitted
	open     []cover  // readings that reach beyond at, by start
	window   [2]int64 // the bounds of the one looked at last
}

// NewSpread returns a spread that emits the pieces of [from, to), in Unix ns.
// Rows are cut at the bounds of windows and at from and to; the zero Windows cut
// none.
func NewSpread(m *catalog.Metric, w Windows, from, to int64, emit func(*Stored) error) *Spread {
	return &Spread{metric: m, windows: w, from: from, to: to, emit: emit, at: from}
}

// SetHistory tells when the epochs came into force that versions given to Add
// were judged under.
func (s *Spread) SetHistory(h catalog.History) { s.history = h }

// ErrVersions says that a row cannot be spread by its statistics alone.
var ErrVersions = errors.New("the row's versions are needed")

// Add takes in the next row of the series, in order of start and width. Rows
// before from are needed as far as readings reach from there. The versions,
// normalized, may be nil where the statistics suffice: where neither a bound
// cuts the row nor readings overlap in it. A row of fewer than two readings
// needs none unless it is cut.
func (s *Spread) Add(row *Stored, versions []Version) error {
	if row.Start >= s.to {
		return nil
	}
	cut := row.Start >= s.from && s.after(row.Start) < row.End() || row.Start < s.from && row.End() > s.from
	if !cut && len(s.open) == 0 && row.Stats.Reach <= row.End() {
		s.at = max(s.at, row.End())
		return s.pass(row)
	}
	if err := s.fill(row.Start); err != nil {
		return err
	}
	if !cut && !s.tangled(row) {
		return s.addRow(row)
	}
	if versions == nil && row.Stats.Count > 0 {
		return fmt.Errorf("row at %d: %w", row.Start, ErrVersions)
	}
	return s.addVersions(row, versions)
}

// Finish emits the pieces behind the last row.
func (s *Spread) Finish() error { return s.fill(s.to) }

// tangled reports whether statistics do not tell what the row covers, or what
// of it reaches beyond its end: that only the last reading does.
func (s *Spread) tangled(row *Stored) bool {
	p := &row.Stats
	reach := s.reach()
	return p.Overlaps > 0 && p.Reach > row.End() || reach > p.FirstAt && reach <= p.LastAt
}

// reach returns the latest end of what earlier readings cover.
func (s *Spread) reach() int64 {
	reach := int64(math.MinInt64)
	for i := range s.open {
		reach = max(reach, s.open[i].end)
	}
	return reach
}

// after returns the first bound after t that no piece lies across.
func (s *Spread) after(t int64) int64 {
	bound := s.to
	if t < s.from {
		bound = s.from
	}
	if s.windows.calendar == NoCalendar { // fixed windows hold whole base windows
		return bound
	}
	if t < s.window[0] || t >= s.window[1] {
		s.window[0], s.window[1] = s.windows.Bounds(t)
	}
	return min(bound, s.window[1])
}

// fill emits the base windows, or what is left of them, from where the last
// piece ends up to a time, as far as earlier readings reach.
func (s *Spread) fill(until int64) error {
	until = min(until, s.to)
	for s.at < until && s.reach() > s.at {
		end := min(WindowStart(s.at, s.metric.Window)+int64(s.metric.Window), s.after(s.at), until)
		piece := Stored{Start: s.at, Width: time.Duration(end - s.at)}
		s.share(&piece)
		if err := s.pass(&piece); err != nil {
			return err
		}
		s.pruneTo(end)
	}
	s.pruneTo(until)
	return nil
}

// pruneTo moves on to t and forgets the readings that end before.
func (s *Spread) pruneTo(t int64) {
	s.at = max(s.at, t)
	s.open = slices.DeleteFunc(s.open, func(c cover) bool { return c.end <= s.at })
}

// addRow takes in a row by its statistics.
func (s *Spread) addRow(row *Stored) error {
	piece := *row
	if row.Start >= s.from {
		s.share(&piece)
	}
	if err := s.pass(&piece); err != nil {
		return err
	}
	if p := &row.Stats; p.Reach > row.End() {
		s.open = append(s.open, cover{
			p.LastAt, p.Reach, p.Last, p.LastQuality, s.standingOf(row, p.LastAt, nil, true),
		})
	}
	s.pruneTo(row.End())
	return nil
}

// addVersions takes in a row by its versions, piece by piece.
func (s *Spread) addVersions(row *Stored, versions []Version) error {
	winners := RowWinners(s.metric, versions)
	for start := row.Start; start < row.End(); {
		end := min(row.End(), s.after(start))
		if start >= s.to {
			end = row.End()
		}
		n := 0
		for n < len(winners) && winners[n].Time < end {
			n++
		}
		piece := Stored{Start: start, Width: time.Duration(end - start)}
		piece.Summary = Summarize(s.metric, start, piece.Width, Fold(s.metric, winners[:n], end))
		v := countBefore(versions, end)
		piece.Standing = Stand(s.history, versions[:v])
		piece.Revision, piece.Changed = row.Revision, row.Changed
		if start >= s.from {
			// The time that earlier readings cover is the share's.
			piece.Stats = foldUnder(s.metric, winners[:n], s.reach(), end)
			s.addShares(&piece)
		}
		if err := s.pass(&piece); err != nil {
			return err
		}
		for i := range winners[:n] {
			if c := coverOf(&winners[i]); c.end > end {
				c.standing = s.standingOf(row, c.start, versions, i == len(winners)-1)
				s.open = append(s.open, c)
			}
		}
		s.pruneTo(end)
		winners, versions, start = winners[n:], versions[v:], end
	}
	return nil
}

// standingOf returns the standing of the winner at that time of a row, the last or
// another. That of the last is what statistics tell, so that it makes no
// difference which of both a row is taken in by.
func (s *Spread) standingOf(row *Stored, at int64, versions []Version, last bool) Standing {
	standing := Standing{FirstReceived: row.Standing.FirstReceived, Settled: row.Standing.LastSettled}
	if !last {
		same := versions[countBefore(versions, at):countBefore(versions, at+1)]
		standing.Settled = Stand(s.history, same).Settled
	}
	return standing
}

// share adds to a piece what earlier readings give to it. If it has readings
// they begin behind the last end of the earlier ones, or before it all.
func (s *Spread) share(piece *Stored) {
	reach := s.reach()
	if p := &piece.Stats; p.Count > 0 && reach > p.LastAt {
		// All of them are covered by earlier ones up to reach.
		p.Covered = max(0, time.Duration(min(p.Reach, piece.End())-reach))
		p.overlap(p.Count)
	}
	s.addShares(piece)
}

// addShares adds to a piece what earlier readings give to it, where the covered
// time of its own readings begins behind theirs.
func (s *Spread) addShares(piece *Stored) {
	reach := s.reach()
	if reach <= piece.Start {
		return
	}
	p := &piece.Stats
	for i := range s.open {
		c := &s.open[i]
		energy := c.energy(s.metric, piece.Start, piece.End())
		estimated, corrected := byQuality(energy, c.quality, c.quality)
		p.Energy += energy
		p.EstimatedEnergy += estimated
		p.CorrectedEnergy += corrected
		piece.Standing.Append(&c.standing)
	}
	p.Covered += time.Duration(min(reach, piece.End()) - piece.Start)
	p.Reach = max(p.Reach, reach)
	piece.setPeak(s.metric)
}

// pass emits a piece that lies in the span.
func (s *Spread) pass(piece *Stored) error {
	if piece.Start < s.from || piece.End() > s.to {
		return nil
	}
	return s.emit(piece)
}
