package catalog

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/energy-platform/energy/pkg/reading"
)

// Expectation is what the catalogue expects of each reading of a metric: a CEL
// expression over one reading in canonical form. It sees no clock and no other
// reading, so that it judges a reading the same whenever it is asked.
type Expectation struct {
	Name       string
	Expression string
	Quarantine bool // a reading that does not meet it is refused, else flagged
	program    cel.Program
}

// Bounds of an expectation, in CEL's units of cost and in bytes. A comparison
// costs about 1, a regular expression about as much as its length times the
// text's.
const (
	maxCost            = 10_000
	maxExpressionBytes = 4 << 10
	maxExpectations    = 32 // of a metric
)

// expectationName is what an expectation may be called.
var expectationName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// celVariables are what an expression may name.
func celVariables() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("entity", cel.StringType),
		cel.Variable("metric", cel.StringType),
		cel.Variable("unit", cel.StringType),
		cel.Variable("time", cel.TimestampType),
		cel.Variable("value", cel.DoubleType),
		cel.Variable("quality", cel.StringType),
		cel.Variable("revision", cel.UintType),
		cel.Variable("length", cel.DurationType),
	)
}

// Met reports whether a reading, in canonical unit and from the start of its
// interval, meets the expectation. One that cannot be evaluated, such as for a
// division by zero or for its cost, is not met, and why says so.
func (e *Expectation) Met(r *reading.Reading) (met bool, why string) {
	out, _, err := e.program.Eval(map[string]any{
		"entity": r.EntityID, "metric": r.Metric, "unit": r.Unit, "time": time.Unix(0, r.Time).UTC(),
		"value": r.Value, "quality": r.Quality.String(), "revision": r.Revision, "length": r.Length,
	})
	if err != nil {
		return false, err.Error()
	}
	met, ok := out.Value().(bool)
	if !ok || !met {
		return false, "expected " + e.Expression
	}
	return true, ""
}

// equal reports whether two expectations judge alike and say the same.
func (e *Expectation) equal(f *Expectation) bool {
	return e.Name == f.Name && e.Expression == f.Expression && e.Quarantine == f.Quarantine
}

// expectations compiles the expectations of a metric, in the order of names.
func (p *parser) expectations(metric string, declared map[string]expectationYAML) []Expectation {
	var all []Expectation
	if len(declared) > maxExpectations {
		p.fault([]string{"metrics", metric, "expectations"}, "metric %s: %d expectations, at most %d are allowed",
			metric, len(declared), maxExpectations)
	}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		y := declared[name]
		fault := func(field, format string, args ...any) {
			p.fault([]string{"metrics", metric, "expectations", name, field},
				"metric %s: expectation %s: "+format, append([]any{metric, name}, args...)...)
		}
		e := Expectation{Name: name, Expression: strings.TrimSpace(y.Expect)}
		if !expectationName.MatchString(name) {
			fault("", "a name has small letters, digits and underscores, and at most 63 of them")
		}
		choose(fault, "else", y.Else, &e.Quarantine, consequences)
		var err error
		if e.program, err = compile(e.Expression); err != nil {
			fault("expect", "%w", err)
		}
		all = append(all, e)
	}
	return all
}

var consequences = map[string]bool{"warn": false, "quarantine": true}

// compile makes a program of an expression that is true or false.
func compile(expression string) (cel.Program, error) {
	switch {
	case expression == "":
		return nil, errors.New("expect is missing: give a CEL expression, such as value < 1000.0")
	case len(expression) > maxExpressionBytes:
		return nil, fmt.Errorf("expect has %d bytes, at most %d are allowed", len(expression), maxExpressionBytes)
	}
	env, err := celVariables()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(expression)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("expect is %s, want true or false", ast.OutputType())
	}
	return env.Program(ast, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
}
