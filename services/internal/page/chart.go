package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// point is one window of a plot. A value that is no finite number is not drawn.
type point struct {
	start, end time.Time
	value      float64
	low, high  float64 // of a band around the value
	soft       float64 // part of the value that was not measured inside the window
	complete   float64 // share, not a number where it is not known
	answer     *energyv1.Aggregate
}

// The chart's measures in pixels from the top; across, the chart is wide as it
// may be, in thousandths for shapes and in percent for text.
const (
	chartWidth = 1000
	plotTop    = 12
	plotBottom = 252
	stripTop   = 260
	stripTall  = 10
	chartTall  = 296
)

// chart is the geometry of a plot. All numbers are finite, all text can stand in
// XML: what is no number is left out.
type chart struct {
	Label  string // what is drawn, for those who do not see it
	Unit   string
	Rows   []gridline
	Ticks  []tick
	Shapes []shape
	Strip  []shape // of completeness, empty where it is not known
	Line   string  // path of a value that holds for its window
	Gaps   bool    // whether windows without a reading are shaded
	Soft   bool    // whether parts of bars are drawn as not measured
	Gutter string  // how much room the gridlines' values take: "", "wide" or "wider"
	Tall   int
}

// gridline is a horizontal line and its value.
type gridline struct {
	Y, TextY, Label string
	Zero            bool
}

// tick is a time on the axis.
type tick struct {
	X, Percent, Label, Anchor string
	Odd                       bool // left out where there is no room
}

// shape is a rectangle with what it tells when pointed at.
type shape struct{ Class, X, Y, W, H, Title string }

// axes turns times and values into pixels.
type axes struct {
	from, to  time.Time
	low, high float64
	scale     float64 // values are divided by it, lest differences overflow
}

func (a *axes) x(t time.Time) float64 {
	share := float64(t.Sub(a.from)) / float64(a.to.Sub(a.from))
	return chartWidth * min(max(share, 0), 1)
}

func (a *axes) y(value float64) float64 {
	share := (value/a.scale - a.low) / (a.high - a.low)
	return plotBottom - (plotBottom-plotTop)*min(max(share, 0), 1)
}

// draw lays a plot out. Bars stand on zero; means are a line that holds for its
// window, in the band of its values.
func draw(points []point, from, to time.Time, bars bool, unit string) *chart {
	if !from.Before(to) {
		to = from.Add(time.Second)
	}
	a := &axes{from: from, to: to}
	ticks := a.fit(points, bars)
	c := &chart{Unit: unit, Tall: chartTall, Ticks: timeTicks(a)}
	for _, v := range ticks {
		y := a.y(v * a.scale)
		c.Rows = append(c.Rows, gridline{
			Y: coordinate(y), TextY: coordinate(y + 4), Label: tickLabel(v, ticks, a.scale), Zero: v == 0,
		})
	}
	c.Gutter = gutter(c.Rows)
	for i := range points {
		c.background(a, &points[i])
	}
	for i := range points {
		if bars {
			c.bar(a, &points[i], len(points))
		} else {
			c.band(a, &points[i])
		}
	}
	if !bars {
		c.Line = line(a, points)
	}
	return c
}

func gutter(rows []gridline) string {
	most := 0
	for _, r := range rows {
		most = max(most, utf8.RuneCountInString(r.Label))
	}
	switch {
	case most > 8:
		return "wider"
	case most > 5:
		return "wide"
	}
	return ""
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// fit sets the axes to hold all values and returns the values of the gridlines,
// divided by the scale.
func (a *axes) fit(points []point, bars bool) []float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		for _, v := range []float64{p.value, p.low, p.high} {
			if finite(v) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if bars || low > high {
		low, high = min(low, 0), max(high, 0)
	}
	a.scale = 1
	if most := max(math.Abs(low), math.Abs(high)); most > 1e100 || most > 0 && most < 1e-100 {
		a.scale = most
	}
	low, high = low/a.scale, high/a.scale
	// Values that hardly differ are no mountains.
	if pad := max(math.Abs(low), math.Abs(high)) * 1e-9; high-low <= pad {
		margin := max(math.Abs(high)*0.05, pad)
		if margin == 0 {
			margin = 1
		}
		high += margin
		if !bars {
			low -= margin
		}
	}
	ticks := roundValues(low, high)
	a.low, a.high = ticks[0], ticks[len(ticks)-1]
	return ticks
}

// background shades a window by what is missing of it.
func (c *chart) background(a *axes, p *point) {
	x, w := a.x(p.start), a.x(p.end)-a.x(p.start)
	if p.answer.GetReceived() == 0 {
		c.Gaps = true
		c.Shapes = append(c.Shapes, shape{
			Class: "gap", X: coordinate(x), Y: coordinate(plotTop), W: coordinate(w), H: coordinate(plotBottom - plotTop),
			Title: fmt.Sprintf("%s: no reading", stretch(p.start, p.end)),
		})
	}
	if !finite(p.complete) {
		return
	}
	present := visible(p.complete)
	title := fmt.Sprintf("%s: %s complete, %s of %s readings", stretch(p.start, p.end), percent(p.complete),
		count(p.answer.GetReceived()), count(p.answer.GetExpected()))
	add := func(class string, y, tall float64) {
		if tall > 0 {
			c.Strip = append(c.Strip, shape{
				Class: class, X: coordinate(x), Y: coordinate(y), W: coordinate(w), H: coordinate(tall), Title: title,
			})
		}
	}
	add("missing", stripTop, stripTall-present)
	add("present", stripTop+stripTall-present, present)
}

// visible is the height of what is received of a window in the strip. What is
// missing shows, however little it is.
func visible(complete float64) float64 {
	switch {
	case complete >= 1:
		return stripTall
	case complete <= 0:
		return 0
	}
	return min(max(stripTall*complete, 1), stripTall-2.5)
}

func (c *chart) bar(a *axes, p *point, of int) {
	if !finite(p.value) {
		return
	}
	x, w := a.x(p.start), a.x(p.end)-a.x(p.start)
	if of <= 250 {
		x, w = x+0.08*w, 0.84*w
	}
	add := func(class string, value float64) {
		top, foot := a.y(max(value, 0)), a.y(min(value, 0))
		c.Shapes = append(c.Shapes, shape{
			Class: class, X: coordinate(x), Y: coordinate(top), W: coordinate(w), H: coordinate(foot - top),
			Title: fmt.Sprintf("%s: %s %s", stretch(p.start, p.end), short(p.value), c.Unit),
		})
	}
	if soft := p.soft / p.value; soft > 0 && finite(soft) {
		c.Soft = true
		add("bar soft", p.value)
		add("bar", p.value*(1-min(soft, 1)))
		return
	}
	add("bar", p.value)
}

func (c *chart) band(a *axes, p *point) {
	if !finite(p.value) || !finite(p.low) || !finite(p.high) {
		return
	}
	x, top, foot := a.x(p.start), a.y(max(p.low, p.high)), a.y(min(p.low, p.high))
	c.Shapes = append(c.Shapes, shape{
		Class: "band", X: coordinate(x), Y: coordinate(top), W: coordinate(a.x(p.end) - x), H: coordinate(foot - top),
		Title: fmt.Sprintf("%s: %s %s, from %s to %s",
			stretch(p.start, p.end), short(p.value), c.Unit, short(p.low), short(p.high)),
	})
}

// line is a path that is level over each window and broken where one is missing.
func line(a *axes, points []point) string {
	var b strings.Builder
	at := time.Time{}
	for _, p := range points {
		if !finite(p.value) {
			continue
		}
		y := coordinate(a.y(p.value))
		if p.start.Equal(at) {
			b.WriteString("V" + y)
		} else {
			b.WriteString("M" + coordinate(a.x(p.start)) + " " + y)
		}
		b.WriteString("H" + coordinate(a.x(p.end)))
		at = p.end
	}
	return b.String()
}

// coordinate prints a finite number of pixels.
func coordinate(x float64) string {
	text := strconv.FormatFloat(x, 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
