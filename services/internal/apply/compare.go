package apply

import (
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// comparison compares the answers for the base windows of one series under two
// catalogues, each of its own versions. Rows are given in the order of time.
type comparison struct {
	effect        *Effect
	series        reading.Series
	before, after *side
}

// compare begins a comparison. No reading reaches beyond end.
func (e *Effect) compare(s reading.Series, old, c *catalog.Catalog, end int64) *comparison {
	return &comparison{
		effect: e, series: s, before: newSide(s, old, end), after: newSide(s, c, end),
	}
}

// row takes in the versions of a row on both sides.
func (c *comparison) row(key gold.Key, before, after []gold.Version) error {
	if err := c.before.row(key, before); err != nil {
		return err
	}
	if err := c.after.row(key, after); err != nil {
		return err
	}
	return c.match()
}

// finish tells what is left.
func (c *comparison) finish() error {
	for _, s := range []*side{c.before, c.after} {
		if err := s.finish(); err != nil {
			return err
		}
	}
	return c.match()
}

// match pairs the answers of both sides as far as both have come.
func (c *comparison) match() error {
	for {
		b, a := c.before.head(), c.after.head()
		var w Window
		switch {
		case b == nil && a == nil:
			return nil
		case b != nil && (a == nil || b.Start < a.Start):
			if c.after.at <= b.Start {
				return nil // it may have an answer yet
			}
			w, a = Window{Before: b.Stats}, b
			c.before.drop()
		case b == nil || a.Start < b.Start:
			if c.before.at <= a.Start {
				return nil
			}
			w = Window{After: a.Stats}
			c.after.drop()
		default:
			w = Window{Before: b.Stats, After: a.Stats}
			c.before.drop()
			c.after.drop()
		}
		if w.Before == w.After {
			continue
		}
		w.Key = gold.Key{Series: c.series, Start: a.Start, Width: time.Duration(a.End - a.Start)}
		if err := c.effect.changed(w); err != nil {
			return err
		}
	}
}

// side is the answers of one catalogue, those that say nothing left out.
type side struct {
	catalog    *catalog.Catalog
	metric     *catalog.Metric
	end        int64
	aggregator *gold.Aggregator // nil before the first row
	spread     *gold.Spread     // of metrics that are not paired
	answers    []gold.Aggregate // not matched yet
	at         int64            // all windows before are answered
}

func newSide(s reading.Series, c *catalog.Catalog, end int64) *side {
	return &side{catalog: c, metric: c.Metric(s), end: end}
}

func (s *side) row(key gold.Key, versions []gold.Version) error {
	if len(versions) == 0 && s.aggregator == nil {
		s.at = key.Start
		return nil
	}
	if s.aggregator == nil {
		if err := s.begin(key.Start); err != nil {
			return err
		}
	}
	row := gold.NewRow(s.catalog, key, versions)
	stored := &gold.Stored{
		Start: key.Start, Width: key.Width, Summary: gold.Summarize(s.metric, key.Start, key.Width, row.Stats),
	}
	if s.spread != nil {
		return s.spread.Add(stored, versions)
	}
	return s.aggregator.Add(stored)
}

// begin opens the first window.
func (s *side) begin(start int64) error {
	windows, err := gold.FixedWindows(s.metric.Window)
	if err != nil {
		return err
	}
	s.aggregator = gold.NewAggregator(s.metric, windows, s.end, func(a gold.Aggregate) error {
		s.at = a.End
		if a.Stats != (gold.Partial{}) {
			s.answers = append(s.answers, a)
		}
		return nil
	})
	s.aggregator.Begin(start)
	s.at = start
	if !s.metric.Paired() {
		end := gold.WindowStart(s.end+int64(s.metric.Window)-1, s.metric.Window)
		s.spread = gold.NewSpread(s.metric, windows, start, end, s.aggregator.Add)
	}
	return nil
}

// finish answers the windows that are left.
func (s *side) finish() error {
	if s.spread != nil {
		if err := s.spread.Finish(); err != nil {
			return err
		}
	}
	if s.aggregator != nil {
		if err := s.aggregator.Finish(); err != nil {
			return err
		}
	}
	s.at = s.end + int64(s.metric.Window)
	return nil
}

// head returns the first answer that is not matched, nil when there is none.
func (s *side) head() *gold.Aggregate {
	if len(s.answers) == 0 {
		return nil
	}
	return &s.answers[0]
}

func (s *side) drop() { s.answers = s.answers[1:] }
