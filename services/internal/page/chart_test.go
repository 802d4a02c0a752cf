package page

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// hostile is a float as an answer could hold it, the worst included.
func hostile() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64(), rapid.Float64Range(-1000, 1000), rapid.SampledFrom([]float64{
		0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, 1e308,
		math.SmallestNonzeroFloat64, 1e-300, 230, 230.0000000001,
	}))
}

// loaded are the page's templates, parsed once for all that is drawn.
var loaded = sync.OnceValues(loadAssets)

// coordinates are what attributes and paths of the chart are made of.
var coordinates = regexp.MustCompile(`^[MHVL \d.-]*$`)

// drawsSoundly checks that whatever is drawn is well-formed XML with nothing but
// finite, sensible numbers in it.
func drawsSoundly(t *rapid.T) {
	zone := time.FixedZone("here", rapid.IntRange(-14*3600, 14*3600).Draw(t, "offset"))
	from := time.Unix(rapid.Int64Range(0, 7e9).Draw(t, "from"), 0).In(zone)
	width := time.Duration(rapid.Int64Range(1, int64(400*dayLong)).Draw(t, "width"))
	var points []point
	at := from
	for range rapid.IntRange(0, 20).Draw(t, "windows") {
		a := &energyv1.Aggregate{Received: rapid.Uint64Range(0, 3).Draw(t, "received")}
		points = append(points, point{
			start: at, end: at.Add(width), value: hostile().Draw(t, "value"), low: hostile().Draw(t, "low"),
			high: hostile().Draw(t, "high"), soft: hostile().Draw(t, "soft"), complete: hostile().Draw(t, "complete"), answer: a,
		})
		at = at.Add(width * time.Duration(rapid.IntRange(1, 2).Draw(t, "step")))
	}
	to := from.Add(time.Duration(rapid.Int64Range(0, int64(9000*dayLong)).Draw(t, "span")))
	c := draw(points, from, to, rapid.Bool().Draw(t, "bars"), clean(rapid.String().Draw(t, "unit")))
	c.Label = clean(string(rapid.SliceOf(rapid.Byte()).Draw(t, "label")))

	assets, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := assets.templates.ExecuteTemplate(&out, "chart", c); err != nil {
		t.Fatal(err)
	}
	sound(t, out.String())
}

func sound(t *rapid.T, svg string) {
	decoder := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("no XML: %v in\n%s", err, svg)
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range element.Attr {
			switch a.Name.Local {
			case "x", "y", "width", "height":
				x, err := strconv.ParseFloat(strings.TrimSuffix(a.Value, "%"), 64)
				if err != nil || math.IsNaN(x) || math.Abs(x) > chartWidth || x < 0 && a.Value != "-8" {
					t.Fatalf("%s of %s is %q in\n%s", a.Name.Local, element.Name.Local, a.Value, svg)
				}
			case "d":
				if !coordinates.MatchString(a.Value) {
					t.Fatalf("the path %q is none in\n%s", a.Value, svg)
				}
			}
		}
	}
}

func TestChartIsSoundWhateverIsDrawn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, drawsSoundly)
}

func FuzzChart(f *testing.F) { f.Fuzz(rapid.MakeFuzz(drawsSoundly)) }

func TestGridlinesAreRoundAndHoldAllValues(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.Float64Range(-1e6, 1e6).Draw(t, "low")
		high := low + rapid.Float64Range(1e-2, 1e6).Draw(t, "range")
		ticks := roundValues(low, high)
		if ticks[0] > low || ticks[len(ticks)-1] < high || len(ticks) < 2 || len(ticks) > 7 || !slices.IsSorted(ticks) {
			t.Fatalf("%g to %g has gridlines at %g", low, high, ticks)
		}
		labels := make(map[string]bool)
		for _, v := range ticks {
			labels[tickLabel(v, ticks, 1)] = true
		}
		if len(labels) != len(ticks) {
			t.Fatalf("gridlines at %g are labelled %v", ticks, labels)
		}
	})
}

func TestBarsStandOnZeroAndAreAsHighAsTheirValues(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var points []point
	for i, v := range []float64{10, 5, -5, math.NaN()} {
		at := begin.AddDate(0, 0, i)
		points = append(points, point{
			start: at, end: at.AddDate(0, 0, 1), value: v, complete: math.NaN(), answer: &energyv1.Aggregate{Received: 1},
		})
	}
	c := draw(points, begin, begin.AddDate(0, 0, 4), true, "kWh")
	if len(c.Shapes) != 3 || len(c.Strip) != 0 {
		t.Fatalf("%d shapes and %d of completeness, want 3 and none", len(c.Shapes), len(c.Strip))
	}
	// From -5 to 10 over 240 pixels.
	for i, want := range []shape{
		{Class: "bar", X: "20", Y: "12", W: "210", H: "160", Title: "Sun 1 Mar 2026: 10 kWh"},
		{Class: "bar", X: "270", Y: "92", W: "210", H: "80", Title: "Mon 2 Mar 2026: 5 kWh"},
		{Class: "bar", X: "520", Y: "172", W: "210", H: "80", Title: "Tue 3 Mar 2026: −5 kWh"},
	} {
		if c.Shapes[i] != want {
			t.Errorf("%+v, want %+v", c.Shapes[i], want)
		}
	}
}

func TestWhatIsMissingShowsHoweverLittle(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	heights := func(complete float64) string {
		p := point{
			start: begin, end: begin.AddDate(0, 0, 1), value: 1, complete: complete,
			answer: &energyv1.Aggregate{Received: 1},
		}
		var out []string
		for _, s := range draw([]point{p}, p.start, p.end, true, "").Strip {
			out = append(out, s.Class+" "+s.H)
		}
		return strings.Join(out, ", ")
	}
	for complete, want := range map[float64]string{
		1: "present 10", 0.9999: "missing 2.5, present 7.5", 0.5: "missing 5, present 5", 0.0001: "missing 9, present 1", 0: "missing 10",
	} {
		if got := heights(complete); got != want {
			t.Errorf("%g complete is drawn as %s, want %s", complete, got, want)
		}
	}
}

// TestDaysOfTheAxisBeginAtLocalMidnight covers both changes of the clocks.
func TestDaysOfTheAxisBeginAtLocalMidnight(t *testing.T) {
	t.Parallel()
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for _, begin := range []time.Time{
		time.Date(2026, 3, 27, 0, 0, 0, 0, paris), time.Date(2026, 10, 23, 0, 0, 0, 0, paris),
	} {
		end := begin.AddDate(0, 0, 7)
		ticks := timeTicks(&axes{from: begin, to: end})
		if len(ticks) != 7 {
			t.Fatalf("7 days have ticks %+v", ticks)
		}
		for i, k := range ticks {
			day := begin.AddDate(0, 0, i)
			x := chartWidth * float64(day.Sub(begin)) / float64(end.Sub(begin))
			if k.Label != day.Format("2 Jan") || k.X != coordinate(x) {
				t.Errorf("%s is labelled %s at %s, want %g", day, k.Label, k.X, x)
			}
		}
		day := begin.AddDate(0, 0, 2) // of 23 or 25 hours
		var labels []string
		for _, k := range timeTicks(&axes{from: day, to: day.AddDate(0, 0, 1)}) {
			labels = append(labels, k.Label)
		}
		if got, want := strings.Join(labels, " "), day.Format("2 Jan")+" 03:00 06:00 09:00 12:00 15:00 18:00 21:00"; got != want {
			t.Errorf("%s has ticks %s, want %s", day, got, want)
		}
	}
}

// TestWindowsWithoutReadingsAreToldApart has a register that was read before and
// after a window: what lies over it is shared out, not measured there.
func TestWindowsWithoutReadingsAreToldApart(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	p := point{
		start: begin, end: begin.AddDate(0, 0, 1), value: 2, soft: 2, complete: math.NaN(), answer: new(energyv1.Aggregate),
	}
	c := draw([]point{p}, p.start, p.end, true, "kWh")
	var classes []string
	for _, s := range c.Shapes {
		classes = append(classes, s.Class+" "+s.H)
	}
	if got := strings.Join(classes, ", "); got != "gap 240, bar soft 240, bar 0" || !c.Gaps || !c.Soft {
		t.Errorf("it is drawn as %s", got)
	}
}
