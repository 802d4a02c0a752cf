package client

import (
	"strings"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Kind is how the values of a metric are to be understood.
type Kind int32

// The kinds.
const (
	Register = Kind(energyv1.Kind_KIND_REGISTER) // cumulative index
	Interval = Kind(energyv1.Kind_KIND_INTERVAL) // energy of a span
	Gauge    = Kind(energyv1.Kind_KIND_GAUGE)    // quantity at a time, or its mean over a span
)

// String returns the kind in a word.
func (k Kind) String() string { return word("KIND_", energyv1.Kind(k).String()) }

// Calendar is a window of the civil calendar in a zone.
type Calendar int32

// The windows of the calendar.
const (
	Day    = Calendar(energyv1.CalendarUnit_CALENDAR_UNIT_DAY)  // 23, 24 or 25 hours
	Week   = Calendar(energyv1.CalendarUnit_CALENDAR_UNIT_WEEK) // from Monday
	Month  = Calendar(energyv1.CalendarUnit_CALENDAR_UNIT_MONTH)
	Year   = Calendar(energyv1.CalendarUnit_CALENDAR_UNIT_YEAR)
	GasDay = Calendar(energyv1.CalendarUnit_CALENDAR_UNIT_GAS_DAY) // from 06:00
)

// String returns the window in a word.
func (c Calendar) String() string { return word("CALENDAR_UNIT_", energyv1.CalendarUnit(c).String()) }

// GroupBy is what the answers of several series are put together by.
type GroupBy int32

// The groupings. Zero is BySeries.
const (
	BySeries = GroupBy(energyv1.GroupBy_GROUP_BY_SERIES) // each has its own answers
	ByParent = GroupBy(energyv1.GroupBy_GROUP_BY_PARENT) // of entities that belong to one
	ByLabel  = GroupBy(energyv1.GroupBy_GROUP_BY_LABEL)  // of entities with one value of Question.GroupLabel
	All      = GroupBy(energyv1.GroupBy_GROUP_BY_ALL)    // all that are selected
)

// String returns the grouping in a word.
func (g GroupBy) String() string { return word("GROUP_BY_", energyv1.GroupBy(g).String()) }

// GapFill is what is answered of windows of which nothing is known.
type GapFill int32

// The fillings. Zero is FillNull.
const (
	FillNone     = GapFill(energyv1.GapFill_GAP_FILL_NONE)     // such windows are left out
	FillNull     = GapFill(energyv1.GapFill_GAP_FILL_NULL)     // they have no values
	FillPrevious = GapFill(energyv1.GapFill_GAP_FILL_PREVIOUS) // Aggregate.Filled is the window before
	FillLinear   = GapFill(energyv1.GapFill_GAP_FILL_LINEAR)   // Aggregate.Filled is a line between neighbours
)

// String returns the filling in a word.
func (f GapFill) String() string { return word("GAP_FILL_", energyv1.GapFill(f).String()) }

// Finality is how far an answer can be relied on.
type Finality int32

// The finalities.
const (
	Provisional = Finality(energyv1.Finality_FINALITY_PROVISIONAL) // readings are still expected
	Final       = Finality(energyv1.Finality_FINALITY_FINAL)       // closed, and unchanged since
	Restated    = Finality(energyv1.Finality_FINALITY_RESTATED)    // closed, and changed after that
)

// String returns the finality in a word.
func (f Finality) String() string { return word("FINALITY_", energyv1.Finality(f).String()) }

// Outcome is what becomes of a version of a reading.
type Outcome int32

// The outcomes. Version.Reason says each in words.
const (
	Counts         = Outcome(energyv1.Outcome_OUTCOME_COUNTS)    // it is the reading
	Withdraws      = Outcome(energyv1.Outcome_OUTCOME_WITHDRAWS) // it takes the reading out
	LesserQuality  = Outcome(energyv1.Outcome_OUTCOME_LESSER_QUALITY)
	LesserRevision = Outcome(energyv1.Outcome_OUTCOME_LESSER_REVISION)
	Earlier        = Outcome(energyv1.Outcome_OUTCOME_EARLIER)
	LesserValue    = Outcome(energyv1.Outcome_OUTCOME_LESSER_VALUE)
	JudgedAgain    = Outcome(energyv1.Outcome_OUTCOME_JUDGED_AGAIN)
	Rejected       = Outcome(energyv1.Outcome_OUTCOME_REJECTED)
	Overruled      = Outcome(energyv1.Outcome_OUTCOME_OVERRULED)
)

// String returns the outcome in words.
func (o Outcome) String() string { return word("OUTCOME_", energyv1.Outcome(o).String()) }

// word returns the contract's name of a value as it stands elsewhere: in the tool,
// in SQL and on the page.
func word(prefix, name string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }
