package reading

import (
	"fmt"
	"iter"
	"math/bits"
	"strings"
)

// Rule numbers a check that a reading or a set of readings can fail. Numbers
// are stored, so the registry only ever grows: a number is never given to
// another rule.
type Rule uint8

// The registry. Undecodable and Limit belong to ingest; those that Gold reports
// look at neighbours and belong to gold; the others look at one reading and
// belong to silver.
const (
	Undecodable Rule = iota
	Limit
	MissingEntity
	BadIdentifier
	NonFiniteValue
	UnknownUnit
	UnitMismatch
	OutOfRange
	TimeInFuture
	TimeTooOld
	Spike   // far from the other values of its base window
	Stuck   // the value has not changed for too long
	Gap     // further from the reading before than max_gap
	Jump    // a rise of a register that no meter can have counted
	Overlap // begins before a reading before it ends
	ExchangeMismatch
	Expectation // one of the catalogue's; the detail names it
	ruleCount
)

var ruleNames = [ruleCount]string{
	"undecodable", "limit", "missing_entity", "bad_identifier", "non_finite_value",
	"unknown_unit", "unit_mismatch", "out_of_range", "time_in_future", "time_too_old",
	"spike", "stuck", "gap", "jump", "overlap",
	"exchange_mismatch",
	"expectation",
}

// String returns the rule's name as it stands in subjects and answers.
func (r Rule) String() string {
	if r < ruleCount {
		return ruleNames[r]
	}
	return fmt.Sprintf("rule(%d)", uint8(r))
}

// ParseRule returns the rule of that name.
func ParseRule(name string) (Rule, bool) {
	for i, n := range ruleNames {
		if n == name {
			return Rule(i), true
		}
	}
	return 0, false
}

// Gold reports whether the rule looks at neighbours. Such a rule flags, it
// never refuses.
func (r Rule) Gold() bool { return r >= Spike && r <= Overlap }

// Rules is a set of rules, one bit a number.
type Rules uint64

// With returns the set with r added.
func (s Rules) With(r Rule) Rules { return s | 1<<r }

// Has reports whether r is in the set.
func (s Rules) Has(r Rule) bool { return s&(1<<r) != 0 }

// First returns the rule with the lowest number; ok is false for the empty set.
func (s Rules) First() (r Rule, ok bool) {
	if s == 0 {
		return 0, false
	}
	return Rule(bits.TrailingZeros64(uint64(s))), true
}

// All yields the rules in the set by their numbers.
func (s Rules) All() iter.Seq[Rule] {
	return func(yield func(Rule) bool) {
		for r, ok := s.First(); ok; r, ok = s.First() {
			if !yield(r) {
				return
			}
			s &^= 1 << r
		}
	}
}

// String returns the names in the set, separated by commas.
func (s Rules) String() string {
	var names []string
	for r := range s.All() {
		names = append(names, r.String())
	}
	return strings.Join(names, ",")
}
