package page

import (
	"fmt"
	"math"
	"strings"
	"time"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

// table holds the numbers of a plot, a row a window. Columns without numbers are
// left out.
type table struct {
	Columns []string
	Rows    []row
	Noted   bool // whether any row has notes
}

// row is a window.
type row struct {
	Time  string // for programs
	Start string
	Cells []cell
	Notes string
}

// cell is a number of a row. One that says that something is missing has a class.
type cell struct{ Text, Class string }

// column is a number of each window, not a number where a window has none.
type column struct {
	name   string
	digits int
	value  func(*point) float64
}

// Digits of what was computed and of indexes, whose last ones matter.
const (
	few  = 4
	many = 8
)

func orNaN(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}

// measured returns a statistic of windows that have readings.
func measured(get func(*energyv1.Statistics) float64) func(*point) float64 {
	return func(p *point) float64 {
		if p.answer.GetReceived() == 0 {
			return math.NaN()
		}
		return get(p.answer.GetStatistics())
	}
}

// columns of a table, from the left.
func (q *question) columns() []column {
	unit, power := clean(q.series.GetSeries().GetUnit()), clean(q.series.GetPowerUnit())
	values := []column{
		{"mean " + unit, few, func(p *point) float64 { return orNaN(p.answer.Mean) }},
		{"min " + unit, few, measured((*energyv1.Statistics).GetMin)},
		{"max " + unit, few, measured((*energyv1.Statistics).GetMax)},
	}
	if q.series.GetKind() == energyv1.Kind_KIND_REGISTER {
		values = []column{{"last index " + unit, many, measured((*energyv1.Statistics).GetLast)}}
	}
	if !q.energy {
		return values
	}
	return append([]column{
		{"energy " + clean(q.series.GetEnergyUnit()), few, func(p *point) float64 { return p.value }},
		{"peak " + power, few, func(p *point) float64 { return orNaN(p.answer.Peak) }},
	}, values...)
}

// table makes rows of windows, all numbers of a column with the same decimals.
func (q *question) table(points []point) *table {
	t := &table{Rows: make([]row, len(points))}
	start := "Mon 2 Jan 2006 15:04"
	if n := len(points); n > 0 && offset(points[0].start) != offset(points[n-1].end) {
		start += " MST" // the clocks change: some times come twice
	}
	if days(points) {
		start = "Mon 2 Jan 2006"
	}
	for i := range points {
		p := &points[i]
		t.Rows[i] = row{
			Time: p.start.Format(time.RFC3339), Start: p.start.Format(start), Notes: q.notes(p),
		}
		t.Noted = t.Noted || t.Rows[i].Notes != ""
	}
	for _, c := range q.columns() {
		most := 0.0
		for i := range points {
			if x := math.Abs(c.value(&points[i])); finite(x) {
				most = max(most, x)
			}
		}
		t.add(c.name, points, func(p *point) string {
			if x := c.value(p); finite(x) {
				return number(x, min(decimalsFor(most, c.digits), 4))
			}
			return ""
		})
	}
	t.add("finality", points, func(p *point) string { return ask.Finality(p.answer) })
	t.add("readings", points, func(p *point) string {
		if p.answer.GetExpected() == 0 {
			return count(p.answer.GetReceived())
		}
		return count(p.answer.GetReceived()) + " of " + count(p.answer.GetExpected())
	})
	t.add("complete", points, func(p *point) string { return percent(p.complete) })
	for i := range t.Rows {
		if last := len(t.Rows[i].Cells) - 1; points[i].complete < 1 {
			t.Rows[i].Cells[last].Class = " missing"
		}
	}
	return t
}

// add adds a column that has any text.
func (t *table) add(name string, points []point, text func(*point) string) {
	cells, some := make([]string, len(points)), false
	for i := range points {
		cells[i] = text(&points[i])
		some = some || cells[i] != ""
	}
	if !some {
		return
	}
	t.Columns = append(t.Columns, strings.TrimSpace(name))
	for i := range cells {
		t.Rows[i].Cells = append(t.Rows[i].Cells, cell{Text: cells[i]})
	}
}

func offset(t time.Time) int {
	_, seconds := t.Zone()
	return seconds
}

// days reports whether all windows begin at midnight.
func days(points []point) bool {
	for _, p := range points {
		if !p.start.Equal(midnight(p.start, 0)) {
			return false
		}
	}
	return true
}

// notes say what a reader of a window's numbers should know.
func (q *question) notes(p *point) string {
	var notes []string
	a, s := p.answer, p.answer.GetStatistics()
	if p.end.After(q.asked.now) {
		notes = append(notes, "not over yet")
	}
	if a.GetReceived() == 0 && finite(p.value) {
		notes = append(notes, "shared out between readings on either side")
	}
	if a.GetEdgeOpen() {
		notes = append(notes, "waits for the next reading")
	}
	if x := a.GetInterpolatedEnergy(); x != 0 {
		notes = append(notes, fmt.Sprintf("%s %s interpolated", short(x), clean(q.series.GetEnergyUnit())))
	}
	for _, n := range []struct {
		count     uint64
		one, many string
	}{
		{s.GetEstimatedCount(), "estimated", "estimated"}, {s.GetCorrectedCount(), "corrected", "corrected"},
		{s.GetGaps(), "gap", "gaps"}, {s.GetResets(), "reset", "resets"}, {s.GetExchanges(), "exchange", "exchanges"},
	} {
		if n.count == 1 {
			notes = append(notes, "1 "+n.one)
		} else if n.count > 1 {
			notes = append(notes, count(n.count)+" "+n.many)
		}
	}
	for _, f := range a.GetFlags() {
		text := "flagged " + f.GetRule()
		if f.Count != nil {
			text = count(f.GetCount()) + " " + text
		}
		notes = append(notes, text)
	}
	return strings.Join(notes, " · ")
}
