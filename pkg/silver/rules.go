package silver

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

// Bounds of what a reading may carry.
const (
	maxIdentifierBytes = 256
	maxLength          = 366 * 24 * time.Hour
)

// subject is what rules look at.
type subject struct {
	catalog                *catalog.Catalog
	entityID, metric, unit string
	resolution             catalog.Resolution
	unresolved             error // why metric and unit do not go together

	reading  reading.Reading
	received time.Time
	value    float64 // in the canonical unit
	exchange float64 // the exchange start in the canonical unit
	start    int64
	length   time.Duration
}

// outcome is what a rule that fired does to the reading.
type outcome uint8

const (
	pass outcome = iota
	flag
	refuse
)

// rule is one row of the tables below. Changing what check decides takes a new
// version, so that a judgement can be traced to the code that made it.
type rule struct {
	number   reading.Rule
	version  int
	waivable bool
	check    func(*subject) (outcome, string)
}

// nameRules look at entity, metric and unit alone, valueRules at the rest.
// Every rule is applied; a judgement lists all that fired.
var (
	nameRules = []rule{
		{reading.MissingEntity, 1, false, missingEntity},
		{reading.BadIdentifier, 1, false, badIdentifier},
		{reading.UnknownUnit, 1, false, unknownUnit},
		{reading.UnitMismatch, 1, false, unitMismatch},
	}
	valueRules = []rule{
		{reading.NonFiniteValue, 2, false, nonFiniteValue},
		{reading.OutOfRange, 2, true, outOfRange},
		{reading.TimeInFuture, 1, true, timeInFuture},
		{reading.TimeTooOld, 1, false, timeTooOld},
		{reading.ExchangeMismatch, 1, false, exchangeMismatch},
		{reading.Expectation, 1, true, expectation},
	}
)

// verdict is what rules decide on a subject.
type verdict struct {
	flags   reading.Rules // fired and let pass
	refused reading.Rules // fired and refused
	waived  reading.Rules // of the flags, those that would have refused
	details []string      // why refused
}

// apply runs rules over a subject. Those that a waiver names and that may be waived
// fire without refusing.
func apply(rules []rule, s *subject, waiver *reading.Waiver) (v verdict) {
	for i := range rules {
		r := &rules[i]
		decided, detail := r.check(s)
		switch {
		case decided == pass:
		case decided == flag:
			v.flags = v.flags.With(r.number)
		case r.waivable && waiver.Has(r.number):
			v.flags, v.waived = v.flags.With(r.number), v.waived.With(r.number)
		default:
			v.refused = v.refused.With(r.number)
			v.details = append(v.details, detail)
		}
	}
	return v
}

// Waivable returns those of a set of rules that a waiver can let a reading pass.
func Waivable(rules reading.Rules) (waivable reading.Rules) {
	for i := range valueRules {
		if r := &valueRules[i]; r.waivable && rules.Has(r.number) {
			waivable = waivable.With(r.number)
		}
	}
	return waivable
}

// Hopeless says why no catalogue and no waiver would let a reading pass, and what
// mends it; nil when nothing is known against it. A producer can tell so before it
// sends.
func Hopeless(r *reading.Reading) error {
	s := subject{
		entityID: r.EntityID, metric: r.Metric, unit: r.Unit, reading: *r, value: r.Value, exchange: r.ExchangeStart,
	}
	_, entity := missingEntity(&s) // called by name, they need no memory
	_, names := badIdentifier(&s)
	_, values := nonFiniteValue(&s)
	var faults []error
	for _, detail := range [...]string{entity, names, values} {
		if detail != "" {
			faults = append(faults, errors.New(detail))
		}
	}
	return errors.Join(faults...)
}

func missingEntity(s *subject) (outcome, string) {
	if s.entityID == "" {
		return refuse, "entity_id is missing: send the id of the meter or sensor"
	}
	return pass, ""
}

func badIdentifier(s *subject) (outcome, string) {
	if s.metric == "" {
		return refuse, "metric is missing: send a name of the catalogue, such as active_power"
	}
	for _, field := range [...]struct{ name, value string }{
		{"entity_id", s.entityID}, {"metric", s.metric}, {"unit", s.unit},
	} {
		if fault := identifierFault(field.value); fault != "" {
			return refuse, fmt.Sprintf("%s %.40q %s", field.name, field.value, fault)
		}
	}
	return pass, ""
}

// identifierFault says what is wrong with a name, "" when nothing is.
func identifierFault(name string) string {
	switch {
	case len(name) > maxIdentifierBytes:
		return fmt.Sprintf("has %d bytes: at most %d are allowed", len(name), maxIdentifierBytes)
	case !utf8.ValidString(name):
		return "is not valid UTF-8"
	}
	for i, r := range name {
		edge := i == 0 || i+utf8.RuneLen(r) == len(name)
		if unicode.IsControl(r) || edge && unicode.IsSpace(r) {
			return "has control characters or white space at an end: remove them"
		}
	}
	return ""
}

func unknownUnit(s *subject) (outcome, string) {
	switch {
	case s.resolution.KnownUnit:
		return pass, ""
	case s.unresolved != nil:
		return refuse, s.unresolved.Error()
	default:
		return flag, ""
	}
}

func unitMismatch(s *subject) (outcome, string) {
	if s.unresolved != nil && s.resolution.KnownUnit {
		return refuse, s.unresolved.Error()
	}
	return pass, ""
}

func nonFiniteValue(s *subject) (outcome, string) {
	r := &s.reading
	switch {
	case !finite(r.Value):
		return refuse, fmt.Sprintf("value is %v: leave the reading out when there is none", r.Value)
	case !finite(s.value):
		return refuse, fmt.Sprintf("value %g %s is too large for %s", r.Value, s.unit, s.resolution.Unit)
	case !finite(r.ExchangeStart):
		return refuse, fmt.Sprintf("exchange_start is %v: give the index that the new meter starts from", r.ExchangeStart)
	case !finite(s.exchange):
		return refuse, fmt.Sprintf("exchange_start %g %s is too large for %s", r.ExchangeStart, s.unit, s.resolution.Unit)
	}
	return pass, ""
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func outOfRange(s *subject) (outcome, string) {
	if r := &s.reading; r.Length < 0 || r.Length > maxLength {
		return refuse, fmt.Sprintf("length %s must be from 0 to %s", r.Length, maxLength)
	}
	m := s.resolution.Metric
	switch {
	case m == nil || s.unresolved != nil || s.reading.Quality == reading.Withdrawn: // a withdrawal's value says nothing
		return pass, ""
	case beyond(m, s.value) != "":
		return refuse, "value " + beyond(m, s.value)
	case s.reading.Exchange && beyond(m, s.exchange) != "":
		return refuse, "exchange_start " + beyond(m, s.exchange)
	}
	return pass, ""
}

// beyond says which limit of the metric a value breaks, "" when none.
func beyond(m *catalog.Metric, value float64) string {
	switch {
	case m.Min != nil && value < *m.Min:
		return fmt.Sprintf("%g %s is below the minimum %g of %s", value, m.Unit, *m.Min, m.Name)
	case m.Max != nil && value > *m.Max:
		return fmt.Sprintf("%g %s is above the maximum %g of %s", value, m.Unit, *m.Max, m.Name)
	}
	return ""
}

func timeInFuture(s *subject) (outcome, string) {
	limit := s.received.Add(s.catalog.FutureSkew())
	if t := time.Unix(0, s.reading.Time); t.After(limit) {
		return refuse, fmt.Sprintf(
			"time %s is %s after its receipt: at most %s is allowed; check the producer's clock and zone",
			t.UTC().Format(time.RFC3339Nano), t.Sub(s.received).Round(time.Second), s.catalog.FutureSkew())
	}
	return pass, ""
}

func timeTooOld(s *subject) (outcome, string) {
	floor := s.catalog.TimeFloor()
	t := time.Unix(0, s.reading.Time)
	if t.Before(floor) || s.unresolved == nil && time.Unix(0, s.start).Before(floor) {
		return refuse, fmt.Sprintf("time %s is before %s: check the producer's clock and the unit of epoch times",
			t.UTC().Format(time.RFC3339Nano), floor.UTC().Format(time.RFC3339))
	}
	return pass, ""
}

func exchangeMismatch(s *subject) (outcome, string) {
	if s.unresolved != nil || !s.reading.Exchange || s.resolution.Metric.Kind == catalog.Register {
		return pass, ""
	}
	return refuse, fmt.Sprintf(
		"exchange_start is for registers, which %s is not: leave it out, or declare the metric a register", s.metric)
}

// expectation asks what the catalogue expects of the metric. Of a withdrawal,
// whose value says nothing, and of a reading that has no canonical form nothing
// is expected.
func expectation(s *subject) (outcome, string) {
	m := s.resolution.Metric
	if m == nil || len(m.Expectations) == 0 || s.unresolved != nil || s.reading.Quality == reading.Withdrawn ||
		math.IsNaN(s.value) || math.IsInf(s.value, 0) {
		return pass, ""
	}
	r := s.canonical()
	decided, details := pass, []string(nil)
	for i := range m.Expectations {
		e := &m.Expectations[i]
		met, why := e.Met(&r)
		switch {
		case met:
		case e.Quarantine:
			decided = refuse
			details = append(details,
				fmt.Sprintf("expectation %s of %s is not met by %g %s: %s", e.Name, m.Name, s.value, m.Unit, why))
		case decided == pass:
			decided = flag
		}
	}
	return decided, strings.Join(details, "; ")
}
