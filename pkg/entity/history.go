package entity

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
)

// History is the records of one entity in the order of their times. The empty
// History is that of an entity that is not registered.
type History []Record

// At returns what holds at t, in Unix ns: the record that began last. Before
// the first record, and of an entity that is not registered, it is a record
// that has nothing but the id.
func (h History) At(id string, t int64) Record {
	i, found := slices.BinarySearchFunc(h, t, func(r Record, t int64) int { return cmp.Compare(r.ValidFrom, t) })
	if found {
		return h[i]
	}
	if i == 0 {
		return Record{ID: id}
	}
	return h[i-1]
}

// Span is a time over which one record decides.
type Span struct {
	Record
	From, Until int64 // Unix ns
}

// Spans divides [from, until) into the times over which one record decides.
// Base windows belong to the record in force at their start, so spans begin and
// end where a base window of that width does, but for from and until.
func (h History) Spans(id string, from, until int64, width time.Duration) []Span {
	var spans []Span
	for from < until {
		s := Span{Record: h.At(id, gold.WindowStart(from, width)), From: from, Until: until}
		for i := range h {
			if begins := ceil(h[i].ValidFrom, width); begins > from {
				s.Until = min(until, begins)
				break
			}
		}
		spans = append(spans, s)
		from = s.Until
	}
	return spans
}

// ceil returns the start of the first base window that does not begin before t.
func ceil(t int64, width time.Duration) int64 {
	start := gold.WindowStart(t, width)
	if start == t {
		return t
	}
	if start > math.MaxInt64-int64(width) {
		return math.MaxInt64
	}
	return start + int64(width)
}

// Registry is the histories of entities by id.
type Registry map[string]History

// NewRegistry arranges records, in any order, into histories.
func NewRegistry(records []Record) Registry {
	g := make(Registry)
	for i := range records {
		g[records[i].ID] = append(g[records[i].ID], records[i])
	}
	for _, h := range g {
		slices.SortFunc(h, func(a, b Record) int { return Compare(&a, &b) })
	}
	return g
}

// At returns what holds of an entity at t.
func (g Registry) At(id string, t int64) Record { return g[id].At(id, t) }

// CheckParents reports an entity that would be its own ancestor at some time.
// The ids are those whose records changed; every cycle that a change makes
// passes through one of them.
func (g Registry) CheckParents(ids []string) error {
	for _, id := range ids {
		for _, t := range g.moments(id) {
			if err := g.climb(id, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// moments returns the times at which the ancestry of an entity can change: the
// beginnings of its own records and of those of every entity that was ever
// above it.
func (g Registry) moments(id string) []int64 {
	var times []int64
	seen := map[string]bool{}
	for queue := []string{id}; len(queue) > 0; {
		next := queue[0]
		queue = queue[1:]
		if seen[next] {
			continue
		}
		seen[next] = true
		for i := range g[next] {
			times = append(times, g[next][i].ValidFrom)
			if p := g[next][i].Parent; p != "" {
				queue = append(queue, p)
			}
		}
	}
	slices.Sort(times)
	return slices.Compact(times)
}

// climb follows the parents of an entity at one time.
func (g Registry) climb(id string, t int64) error {
	seen := map[string]bool{id: true}
	path := []string{id}
	for at := g.At(id, t).Parent; at != ""; at = g.At(at, t).Parent {
		path = append(path, at)
		if seen[at] {
			return fmt.Errorf("%w %.64q: parents lead in a circle at %s: %s",
				ErrInvalid, id, time.Unix(0, t).UTC().Format(time.RFC3339), strings.Join(path, " → "))
		}
		seen[at] = true
	}
	return nil
}
