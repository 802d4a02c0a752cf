package query

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/entity"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// selection is a checked selector.
type selection struct {
	series   goldstore.Selector
	entities entity.Selector
}

func parseSelector(s *energyv1.Selector) (sel selection, err error) {
	if err := checkNames("selector.entity_ids", s.GetEntityIds()); err != nil {
		return sel, err
	}
	if err := checkNames("selector.metrics", s.GetMetrics()); err != nil {
		return sel, err
	}
	sel.series = goldstore.Selector{Entities: s.GetEntityIds(), Metrics: s.GetMetrics()}
	sel.entities, err = entitySelector("selector.", s.GetParents(), s.GetLabels())
	return sel, err
}

// byRegistry reports whether the registry decides what is selected.
func (s *selection) byRegistry() bool { return len(s.entities.Parents)+len(s.entities.Labels) > 0 }

// find returns a page of the series that are selected at some time, and the
// records of their entities where these matter: with all, in any case.
func (s *selection) find(
	ctx context.Context, tx *goldstore.ReadTx, page goldstore.Page, all bool,
) ([]goldstore.Series, entity.Registry, error) {
	sel := s.series
	var records []entity.Record
	var err error
	if s.byRegistry() {
		if records, err = tx.EntitiesOf(ctx, sel.Entities, s.entities); err != nil {
			return nil, nil, err
		}
		registry := entity.NewRegistry(records)
		if len(registry) == 0 {
			return nil, nil, nil
		}
		sel.Entities = slices.Collect(maps.Keys(registry))
		series, err := tx.SeriesPage(ctx, sel, page)
		return series, registry, err
	}
	series, err := tx.SeriesPage(ctx, sel, page)
	if err != nil || !all || len(series) == 0 {
		return series, nil, err
	}
	ids := make(map[string]bool)
	for i := range series {
		ids[series[i].EntityID] = true
	}
	records, err = tx.Entities(ctx, slices.Collect(maps.Keys(ids)))
	return series, entity.NewRegistry(records), err
}

// picks reports whether a base window that begins at start is selected.
func (s *selection) picks(registry entity.Registry, id string, start int64) bool {
	if !s.byRegistry() {
		return true
	}
	record := registry.At(id, start)
	return s.entities.Picks(&record)
}

// scope is what is answered of each series: which times, in which windows, as a
// part of which group.
type scope struct {
	selection
	windows  gold.Windows
	calendar gold.Calendar // in each entity's own zone; NoCalendar where windows says all
	by       energyv1.GroupBy
	label    string
}

// registered reports whether records of entities matter.
func (s *scope) registered() bool {
	return s.byRegistry() || s.calendar != gold.NoCalendar ||
		s.by == energyv1.GroupBy_GROUP_BY_PARENT || s.by == energyv1.GroupBy_GROUP_BY_LABEL
}

func (s *scope) grouped() bool { return s.by > energyv1.GroupBy_GROUP_BY_SERIES }

// piece is a time of a series that is selected and belongs to one group, and its
// windows, which are cut at its ends.
type piece struct {
	windows     gold.Windows
	from, until int64 // Unix ns
	group       string
}

// pieces divides the time of an entity's series with base windows of a width.
// What is not selected is left out.
func (s *scope) pieces(h entity.History, id string, width time.Duration) ([]piece, error) {
	if !s.registered() {
		return []piece{{s.windows, math.MinInt64, math.MaxInt64, ""}}, nil
	}
	zoned := []piece{{s.windows, entity.Ever, latest.UnixNano(), ""}}
	if s.calendar != gold.NoCalendar {
		var err error
		if zoned, err = s.zoned(h, id); err != nil {
			return nil, err
		}
	}
	var pieces []piece
	for _, z := range zoned {
		for _, span := range h.Spans(id, z.from, z.until, width) {
			if !s.entities.Picks(&span.Record) {
				continue
			}
			p := piece{z.windows, span.From, span.Until, s.group(&span.Record)}
			if n := len(pieces) - 1; n >= 0 && p.from > z.from && pieces[n].until == p.from && pieces[n].group == p.group {
				pieces[n].until = p.until
				continue
			}
			pieces = append(pieces, p)
		}
	}
	for i := range pieces {
		p := &pieces[i]
		if p.from == entity.Ever {
			p.from = math.MinInt64
		}
		if p.until == latest.UnixNano() {
			p.until = math.MaxInt64
		}
		p.windows = p.windows.Cut(p.from, p.until)
	}
	return pieces, nil
}

// group returns the key of the group that an entity is in.
func (s *scope) group(r *entity.Record) string {
	switch s.by {
	case energyv1.GroupBy_GROUP_BY_PARENT:
		return r.Parent
	case energyv1.GroupBy_GROUP_BY_LABEL:
		return r.Labels[s.label]
	default:
		return ""
	}
}

// zoned divides time by the zones that an entity keeps. A window belongs to the
// zone in force at its start: it ends there as it began.
func (s *scope) zoned(h entity.History, id string) (pieces []piece, err error) {
	for from := entity.Ever; from < latest.UnixNano(); {
		record := h.At(id, from)
		location, err := entity.Location(record.Zone)
		if err != nil {
			return nil, fmt.Errorf("entity %q: %w", id, err)
		}
		windows, err := gold.CalendarWindows(s.calendar, location)
		if err != nil {
			return nil, err
		}
		until := latest.UnixNano()
		for i := range h {
			if h[i].ValidFrom > from && h[i].Zone != record.Zone {
				if start, end := windows.Bounds(h[i].ValidFrom); start == h[i].ValidFrom {
					until = start
				} else {
					until = end
				}
				break
			}
		}
		pieces = append(pieces, piece{windows: windows, from: from, until: until})
		from = until
	}
	return pieces, nil
}

// entitySelector checks what selects entities: parents, and labels written
// "key=value". Its errors name the fields below the path.
func entitySelector(path string, parents, labels []string) (entity.Selector, error) {
	s := entity.Selector{Parents: parents}
	if err := checkNames(path+"parents", parents); err != nil {
		return s, err
	}
	if len(labels) == 0 {
		return s, nil
	}
	if err := checkNames(path+"labels", labels); err != nil {
		return s, err
	}
	s.Labels = make(map[string]string, len(labels))
	for i, label := range labels {
		name := field(path+"labels", i)
		key, value, ok := strings.Cut(label, "=")
		if !ok {
			return s, invalid(name, "%q must be key=value", label)
		}
		if err := entity.CheckLabel(key); err != nil {
			return s, invalid(name, "%q must be key=value: %v", label, err)
		}
		if before, twice := s.Labels[key]; twice && before != value {
			return s, invalid(name, "asks for %s=%s, another for %s=%s: no entity has both", key, value, key, before)
		}
		s.Labels[key] = value
	}
	return s, nil
}

// field names an element of a list.
func field(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
