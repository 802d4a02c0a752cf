package catalog

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestEveryFieldIsDocumented holds docs/catalog.md to the document's structs, and
// its example to Parse.
func TestEveryFieldIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/catalog.md")
	if err != nil {
		t.Fatal(err)
	}
	var tables strings.Builder // the first cells of their lines
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			tables.WriteString(cells[1])
		}
	}
	for _, part := range []any{document{}, unitYAML{}, metricYAML{}, expectationYAML{}} {
		for field := range reflect.TypeOf(part).Fields() {
			if name := "`" + field.Tag.Get("yaml") + "`"; !strings.Contains(tables.String(), name) {
				t.Errorf("docs/catalog.md has no line for %s of %T", name, part)
			}
		}
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) == 0 {
		t.Error("there is no example")
	}
	for _, example := range examples {
		if _, err := Parse(1, example[1]); err != nil {
			t.Errorf("%v in\n%s", err, example[1])
		}
	}
}

// TestDocumentedDefaultsHold checks the defaults that docs/catalog.md gives.
func TestDocumentedDefaultsHold(t *testing.T) {
	t.Parallel()
	c, err := Parse(1, []byte("units: {kWh: {dimension: energy}}\nmetrics: {e: {kind: register, unit: kWh}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := c.Metrics()[0]
	for what, holds := range map[string]bool{
		"future_skew": c.FutureSkew().String() == "5m0s", "time_floor": c.TimeFloor().Equal(defaultTimeFloor),
		"window": m.Window.String() == "15m0s", "lateness": m.Lateness.String() == "1h0m0s",
		"label": m.Label == LabelStart, "reset": !m.ResetToZero, "integrate": m.Integrate == NoIntegral,
		"others": m.Length == 0 && m.Cadence == 0 && m.MaxGap == 0 && m.MaxRate == 0 && m.Rollover == 0 && m.DipTol == 0 &&
			m.Spike == 0 && m.Stuck == 0 && m.Min == nil && m.Max == nil,
	} {
		if !holds {
			t.Errorf("the default of %s is another", what)
		}
	}
}
