package e2e_test

import (
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// accepted holds a request for each call that is answered. Bad values are put
// into it one at a time.
var accepted = map[protoreflect.Name]string{
	"ListSeries":      `{}`,
	"QueryAggregates": `{"start": "2026-01-02T00:00:00Z", "window": {"calendar": "CALENDAR_UNIT_DAY"}}`,
	"GetLatest":       `{}`,
	"WatchAggregates": `{"window": {"calendar": "CALENDAR_UNIT_DAY"}}`,
	"ExplainAggregate": `{"series": {"entity_id": "contract", "metric": "voltage", "unit": "V"},
		"start": "2026-01-02T00:00:00Z", "end": "2026-01-03T00:00:00Z"}`,
	"GetPipelineStatus": `{}`,
	"ListBatches":       `{}`,
	"GetBatch":          `{"id": "contract"}`,
	"ListEntities":      `{}`,
	"PutEntities":       `{"entities": [{"id": "contract"}]}`,
	"DeleteEntities":    `{"keys": [{"id": "contract", "valid_from": "2026-01-02T00:00:00Z"}]}`,
	"ListQuarantine":    `{}`,
	"CountQuarantine":   `{}`,
	// The test puts this entry there.
	"GetQuarantineEntry": `{"key": "1767312000000000000.0.1.0.ingest.undecodable.0"}`,
	"ReleaseQuarantine":  `{"selection": {"filter": {}}, "person": "ann", "reason": "contract"}`,
	"DiscardQuarantine":  `{"selection": {"filter": {}}, "person": "ann", "reason": "contract"}`,
	"RejudgeQuarantine":  `{"selection": {"filter": {}}}`,
}

// badValue is a value that a field must refuse, in each form in which it can be
// expressed: as JSON in a body, as query parameters, and over gRPC.
type badValue struct {
	name  string
	body  string
	query []string
	grpc  any    // nil where it has no such form, cleared{} clears the field
	want  string // of the message, besides the field's path
}

// cleared is the value of a field that is not set.
type cleared struct{}

// fieldRules are the bad values of a field. Where it has none in a form, the
// reason is written down.
type fieldRules struct {
	bad    []badValue
	noREST string
	noGRPC string
}

// refused holds the bad values of every field of every request. A new field
// makes the contract test fail until somebody decides what it refuses.
var refused = map[protoreflect.FullName]fieldRules{
	"energy.v1.ListSeriesRequest.selector": selectorRules,
	"energy.v1.ListSeriesRequest.contains": {bad: append(nameRules.bad[:len(nameRules.bad)-1:len(nameRules.bad)-1], badValue{
		name: "more texts than are searched for at once", body: `["a"` + strings.Repeat(`,"a"`, 16) + `]`,
		grpc: strings.Fields(strings.Repeat("a ", 17)), want: "has 17 texts: at most 16",
	})},
	"energy.v1.ListSeriesRequest.after": {
		bad: []badValue{
			{name: "no object", body: `"sceaux"`, query: []string{"sceaux"}, want: "entity_id"},
			{name: "a list", body: `[]`, want: "must be an object with entity_id, metric, unit"},
		},
		noGRPC: "every series is one; its fields have their own rules",
	},
	"energy.v1.SeriesKey.entity_id": seriesNameRules,
	"energy.v1.SeriesKey.metric":    seriesNameRules,
	"energy.v1.SeriesKey.unit":      seriesNameRules,
	"energy.v1.ListSeriesRequest.limit": {
		bad: []badValue{
			{name: "less than none", body: `-1`, query: []string{"-1"}, want: "must be an integer from 0 to 4294967295"},
			{name: "a fraction", body: `1.5`, query: []string{"1.5"}, want: "must be an integer from 0"},
			{name: "a word", body: `"all"`, query: []string{"all"}, want: "must be an integer from 0"},
		},
		noGRPC: "every number is a limit",
	},
	"energy.v1.ListBatchesRequest.limit": {bad: []badValue{
		{name: "less than none", query: []string{"-1"}, want: "must be an integer from 0 to 4294967295"},
		{name: "a word", query: []string{"all"}, want: "must be an integer from 0"},
		{name: "more than are answered at once", query: []string{"101"}, grpc: uint32(101), want: "is 101: at most 100"},
	}},
	"energy.v1.GetBatchRequest.id": {bad: []badValue{
		{name: "nothing", query: []string{""}, grpc: cleared{}, want: "is required"},
		{name: "longer than any", query: []string{strings.Repeat("x", 65)}, grpc: strings.Repeat("x", 65), want: "has 65 bytes: at most 64"},
		{name: "a NUL", query: []string{"a\x00"}, grpc: "a\x00", want: "without control characters"},
	}},
	"energy.v1.QueryAggregatesRequest.selector": selectorRules,
	"energy.v1.GetLatestRequest.selector":       selectorRules,
	"energy.v1.WatchAggregatesRequest.selector": selectorRules,
	"energy.v1.Selector.entity_ids":             nameRules,
	"energy.v1.Selector.metrics":                nameRules,
	"energy.v1.Selector.parents":                nameRules,
	"energy.v1.Selector.labels":                 labelRules,
	"energy.v1.QueryAggregatesRequest.start":    timeRules(),
	"energy.v1.QueryAggregatesRequest.end": timeRules(badValue{
		name: "a time before start", body: `"2026-01-01T00:00:00Z"`, query: []string{"2026-01-01T00:00:00Z"},
		grpc: timestamppb.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), want: "must be after start",
	}),
	"energy.v1.QueryAggregatesRequest.group_by": enumRules("GROUP_BY_SERIES"),
	"energy.v1.QueryAggregatesRequest.group_label": {bad: []badValue{
		{name: "a number", body: `5`, want: "must be a string"},
		{name: "a label for no group", body: `"tariff"`, query: []string{"tariff"}, grpc: "tariff", want: "is for GROUP_BY_LABEL"},
	}},
	"energy.v1.QueryAggregatesRequest.gap_fill": enumRules("GAP_FILL_NONE"),
	"energy.v1.QueryAggregatesRequest.known_at": timeRules(),
	"energy.v1.ExplainAggregateRequest.series": {bad: []badValue{
		{name: "no object", body: `"sceaux"`, query: []string{"sceaux"}, want: "entity_id"},
		{name: "nothing", body: `null`, grpc: cleared{}, want: "entity_id is required"},
	}},
	"energy.v1.ExplainAggregateRequest.start": timeRules(badValue{name: "nothing", body: `null`, grpc: cleared{}, want: "is required"}),
	"energy.v1.ExplainAggregateRequest.end": timeRules(badValue{
		name: "a time before start", body: `"2026-01-01T00:00:00Z"`, query: []string{"2026-01-01T00:00:00Z"},
		grpc: timestamppb.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), want: "must be after start",
	}),
	"energy.v1.ExplainAggregateRequest.known_at": timeRules(),
	"energy.v1.Window.entity_zone": {
		bad: []badValue{
			{name: "a word", body: `"yes"`, query: []string{"yes"}, want: "must be"},
			{name: "a number", body: `1`, query: []string{"1x"}, want: "must be"},
		},
		noGRPC: "either is one; beside zone, and with a fixed window, window.zone and window have rules",
	},
	"energy.v1.QueryAggregatesRequest.window": windowRules,
	"energy.v1.WatchAggregatesRequest.window": windowRules,
	"energy.v1.Window.fixed": {bad: []badValue{
		{name: "no duration", body: `"1h"`, query: []string{"1h"}, want: `must be seconds such as "900s"`},
		{name: "a number", body: `900`, query: []string{"900"}, want: `must be seconds such as "900s"`},
		{name: "two durations", query: []string{"900s", "900s"}, want: "takes one value, not 2"},
		{name: "nothing", query: []string{""}, want: `must be seconds such as "900s"`},
		{name: "none", body: `"0s"`, query: []string{"0s"}, grpc: durationpb.New(0), want: "must be a duration above 0s"},
		{name: "less than none", body: `"-900s"`, query: []string{"-900s"}, grpc: durationpb.New(-time.Hour), want: "must be a duration above 0s"},
		{name: "an age", body: `"315576000000s"`, query: []string{"315576000000s"}, grpc: &durationpb.Duration{Seconds: 315_576_000_000}, want: "at most 8784h"},
		{name: "more than the format holds", body: `"315576000001s"`, query: []string{"1e99s"}, grpc: &durationpb.Duration{Seconds: 1, Nanos: -1}, want: "must be"},
	}},
	"energy.v1.Window.calendar": {bad: []badValue{
		{name: "no name", body: `"FORTNIGHT"`, query: []string{"FORTNIGHT"}, want: "must be one of CALENDAR_UNIT_DAY, CALENDAR_UNIT_WEEK"},
		{name: "a fraction", body: `1.5`, query: []string{"1.5"}, want: "must be one of CALENDAR_UNIT_DAY"},
		{name: "a list", body: `[]`, query: []string{"CALENDAR_UNIT_DAY", "CALENDAR_UNIT_DAY"}},
		{name: "an unknown number", body: `99`, query: []string{"99"}, grpc: protoreflect.EnumNumber(99), want: "must be"},
		{name: "unspecified", body: `"CALENDAR_UNIT_UNSPECIFIED"`, query: []string{"CALENDAR_UNIT_UNSPECIFIED"}, grpc: protoreflect.EnumNumber(0), want: "must be CALENDAR_UNIT_ with DAY"},
	}},
	"energy.v1.Window.zone": {bad: []badValue{
		{name: "no zone", body: `"Mars/Olympus"`, query: []string{"Mars/Olympus"}, grpc: "Mars/Olympus", want: "is no IANA time zone: give one such as Europe/Paris"},
		{name: "the server's own zone", body: `"Local"`, query: []string{"Local"}, grpc: "Local", want: "is no IANA time zone"},
		{name: "a file", body: `"../../etc/passwd"`, query: []string{"../../etc/passwd"}, grpc: "../../etc/passwd", want: "is no IANA time zone"},
		{name: "a novel", grpc: strings.Repeat("x", 1<<20), query: []string{strings.Repeat("x", 1<<16)}, want: "is no IANA time zone"},
		{name: "no UTF-8", query: []string{"\xff"}, want: "must be UTF-8"},
		{name: "a number", body: `1`, want: "must be a string"},
	}},
	"energy.v1.ListEntitiesRequest.ids":      nameRules,
	"energy.v1.ListEntitiesRequest.valid_at": timeRules(),
	"energy.v1.ListEntitiesRequest.parents":  nameRules,
	"energy.v1.ListEntitiesRequest.labels":   labelRules,
	"energy.v1.PutEntitiesRequest.entities":  recordRules,
	"energy.v1.Entity.id":                    textRules("is missing"),
	"energy.v1.Entity.valid_from":            secondRules,
	"energy.v1.Entity.name":                  textRules(""),
	"energy.v1.Entity.zone": {bad: []badValue{
		{name: "no zone", body: `"Mars/Olympus"`, grpc: "Mars/Olympus", want: "is no IANA time zone: give one such as Europe/Paris"},
		{name: "the server's own zone", body: `"Local"`, grpc: "Local", want: "is no IANA time zone"},
		{name: "a number", body: `1`, want: "must be a string"},
	}},
	"energy.v1.Entity.parent": textRules("", badValue{name: "itself", body: `"contract"`, grpc: "contract", want: "is the entity itself"}),
	"energy.v1.Entity.labels": {bad: []badValue{
		{name: "no object", body: `"a=b"`, want: "must be"},
		{name: "a key for no parameter", body: `{"a b": ""}`, grpc: map[string]string{"a b": ""}, want: "ASCII letters"},
		{name: "a long value", body: `{"a": "` + strings.Repeat("x", 257) + `"}`, grpc: map[string]string{"a": strings.Repeat("x", 257)},
			want: "has 257 bytes"},
	}},
	"energy.v1.DeleteEntitiesRequest.keys":      recordRules,
	"energy.v1.EntityKey.id":                    textRules("is missing"),
	"energy.v1.EntityKey.valid_from":            secondRules,
	"energy.v1.ListQuarantineRequest.filter":    filterRules,
	"energy.v1.CountQuarantineRequest.filter":   filterRules,
	"energy.v1.QuarantineSelection.filter":      filterRules,
	"energy.v1.QuarantineFilter.states":         stateRules,
	"energy.v1.QuarantineFilter.stages":         nameRules,
	"energy.v1.QuarantineFilter.rules":          nameRules,
	"energy.v1.QuarantineFilter.entity_ids":     nameRules,
	"energy.v1.QuarantineFilter.metrics":        nameRules,
	"energy.v1.QuarantineFilter.received_start": timeRules(),
	"energy.v1.QuarantineFilter.received_end":   timeRules(),
	"energy.v1.QuarantineFilter.start":          timeRules(),
	"energy.v1.QuarantineFilter.end":            timeRules(),
	"energy.v1.ListQuarantineRequest.newest_first": {bad: []badValue{
		{name: "a word", body: `"yes"`, query: []string{"yes"}, want: "must be"},
	}, noGRPC: "either is one"},
	"energy.v1.ListQuarantineRequest.after": keyRules,
	"energy.v1.ListQuarantineRequest.limit": {bad: []badValue{
		{name: "less than none", query: []string{"-1"}, want: "must be an integer from 0 to 4294967295"},
	}, noGRPC: "every number is a limit"},
	"energy.v1.GetQuarantineEntryRequest.key":      keyRules,
	"energy.v1.ReleaseQuarantineRequest.selection": chosenRules,
	"energy.v1.DiscardQuarantineRequest.selection": chosenRules,
	"energy.v1.RejudgeQuarantineRequest.selection": chosenRules,
	"energy.v1.QuarantineSelection.keys": {bad: []badValue{
		{name: "one key for a list", body: `"a"`, want: "must be a list"},
		{name: "no key", body: `["a.b"]`, grpc: []string{"a.b"}, want: `[0] "a.b" is no key of an entry`},
		{name: "more than are decided on at once", grpc: strings.Fields(strings.Repeat("a ", 1001)),
			body: `["a"` + strings.Repeat(`,"a"`, 1000) + `]`, want: "has 1001 keys: at most 1000"},
	}},
	"energy.v1.QuarantineSelection.after":       keyRules,
	"energy.v1.ReleaseQuarantineRequest.person": textRules("is required"),
	"energy.v1.DiscardQuarantineRequest.person": textRules("is required"),
	"energy.v1.ReleaseQuarantineRequest.reason": reasonRules,
	"energy.v1.DiscardQuarantineRequest.reason": reasonRules,
	"energy.v1.WatchAggregatesRequest.resume_token": {bad: []badValue{
		{name: "no token", query: []string{"x"}, grpc: "x", want: "is none: give the last one that a response carried"},
		{name: "half a token", query: []string{"1-"}, grpc: "1-", want: "is none"},
		{name: "more than a token", query: []string{"1-2x"}, grpc: "1-2x", want: "is none"},
		{name: "two tokens", query: []string{"1-2", "1-3"}, want: "takes one value, not 2"},
		{name: "no UTF-8", query: []string{"\xff"}, want: "must be UTF-8"},
	}},
}

var filterRules = fieldRules{
	bad: []badValue{
		{name: "no object", body: `"sceaux"`, query: []string{"sceaux"}, want: "states"},
		{name: "a list", body: `[]`, want: "must be an object with states, stages"},
	},
	noGRPC: "every filter is one; its fields have their own rules",
}

var stateRules = fieldRules{bad: []badValue{
	{name: "no name", body: `["SHUT"]`, query: []string{"SHUT"}, want: "QUARANTINE_STATE_OPEN"},
	{name: "one for a list", body: `"QUARANTINE_STATE_OPEN"`, want: "must be a list"},
	{name: "unspecified", body: `["QUARANTINE_STATE_UNSPECIFIED"]`, query: []string{"QUARANTINE_STATE_UNSPECIFIED"},
		grpc: []protoreflect.EnumNumber{0}, want: "must be QUARANTINE_STATE_ with OPEN"},
	{name: "an unknown number", grpc: []protoreflect.EnumNumber{1, 99}, want: "[1] must be QUARANTINE_STATE_ with OPEN"},
}}

var keyRules = fieldRules{bad: []badValue{
	{name: "no key", body: `"5.x"`, query: []string{"5.x"}, grpc: "5.x", want: "is no key of an entry"},
	{name: "a novel", body: `"` + strings.Repeat("x", 1<<12) + `"`, query: []string{strings.Repeat("x", 1<<12)},
		grpc: strings.Repeat("x", 1<<12), want: "is no key of an entry"},
}}

var chosenRules = fieldRules{bad: []badValue{
	{name: "no object", body: `"sceaux"`, want: "keys"},
	{name: "nothing", body: `{}`, grpc: cleared{}, want: "is required: give keys, or a filter"},
}}

var reasonRules = fieldRules{bad: []badValue{
	{name: "a number", body: `5`, want: "must be a string"},
	{name: "nothing", body: `""`, grpc: cleared{}, want: "is required: say why"},
	{name: "a novel", body: `"` + strings.Repeat("x", 1025) + `"`, grpc: strings.Repeat("x", 1025), want: "has 1025 bytes"},
}}

var selectorRules = fieldRules{
	bad: []badValue{
		{name: "no object", body: `"sceaux"`, query: []string{"sceaux"}, want: "entity_ids"},
		{name: "a list", body: `[]`, want: "must be an object with entity_ids, metrics"},
	},
	noGRPC: "every selector is one; its fields have their own rules",
}

var nameRules = fieldRules{bad: []badValue{
	{name: "one name for a list", body: `"a"`, want: "must be a list"},
	{name: "a number for a name", body: `["a", 5]`, want: "[1] must be a string, not 5"},
	{name: "an empty name", body: `["a", ""]`, query: []string{"a", ""}, grpc: []string{"a", ""}, want: "[1] is empty: give names"},
	{name: "a name longer than any", body: `["` + strings.Repeat("x", 257) + `"]`, query: []string{strings.Repeat("x", 257)},
		grpc: []string{strings.Repeat("x", 257)}, want: "[0] has 257 bytes: at most 256"},
	{name: "a NUL", body: `["a\u0000"]`, query: []string{"a\x00"}, grpc: []string{"a\x00"}, want: "without control characters"},
	{name: "no UTF-8", query: []string{"\xff"}, want: "must be UTF-8"},
	{name: "more names than are answered at once", body: `["a"` + strings.Repeat(`,"a"`, 10_000) + `]`,
		grpc: strings.Fields(strings.Repeat("a ", 10_001)), want: "has 10001 names: at most 10000"},
}}

var seriesNameRules = fieldRules{bad: []badValue{
	{name: "a list", body: `["a"]`, query: []string{"a", "b"}},
	{name: "a number", body: `5`, want: "must be a string, not 5"},
	{name: "a name longer than any", body: `"` + strings.Repeat("x", 257) + `"`, query: []string{strings.Repeat("x", 257)},
		grpc: strings.Repeat("x", 257), want: "has 257 bytes: at most 256"},
	{name: "a NUL", body: `"a\u0000"`, query: []string{"a\x00"}, grpc: "a\x00", want: "without control characters"},
	{name: "no UTF-8", query: []string{"\xff"}, want: "must be UTF-8"},
}}

var labelRules = fieldRules{bad: []badValue{
	{name: "one label for a list", body: `"a=b"`, want: "must be a list"},
	{name: "a key alone", body: `["a"]`, query: []string{"a"}, grpc: []string{"a"}, want: "[0] \"a\" must be key=value"},
	{name: "a value alone", body: `["=b"]`, query: []string{"=b"}, grpc: []string{"=b"}, want: "[0] \"=b\" must be key=value"},
	{name: "two values", body: `["a=b", "a=c"]`, query: []string{"a=b", "a=c"}, grpc: []string{"a=b", "a=c"}, want: "no entity has both"},
}}

var recordRules = fieldRules{bad: []badValue{
	{name: "no list", body: `{"id": "a"}`, want: "must be a list"},
	{name: "nothing", body: `[]`, grpc: cleared{}, want: "has 0 records: from 1 to 10000"},
}}

// secondRules are those of times in whole seconds, in a body.
var secondRules = fieldRules{bad: []badValue{
	{name: "no time", body: `"yesterday"`, want: "must be an RFC 3339 time"},
	{name: "a fraction", body: `"2026-01-02T00:00:00.5Z"`, grpc: &timestamppb.Timestamp{Seconds: 1, Nanos: 1}, want: "fraction of a second"},
	{name: "a time before all", body: `"1969-12-31T23:59:59Z"`, grpc: &timestamppb.Timestamp{Seconds: -1}, want: "must be between"},
}}

// textRules are those of short texts in a body.
func textRules(missing string, more ...badValue) fieldRules {
	bad := []badValue{
		{name: "a number", body: `5`, want: "must be a string"},
		{name: "longer than any", body: `"` + strings.Repeat("x", 257) + `"`, grpc: strings.Repeat("x", 257), want: "has 257 bytes: at most 256"},
		{name: "a NUL", body: `"a\u0000"`, grpc: "a\x00", want: "without control characters"},
	}
	if missing != "" {
		bad = append(bad, badValue{name: "nothing", body: `""`, grpc: cleared{}, want: missing})
	}
	return fieldRules{bad: append(bad, more...)}
}

var windowRules = fieldRules{bad: []badValue{
	{name: "no object", body: `"1h"`, query: []string{"1h"}, want: "fixed"},
	{name: "nothing", body: `null`, grpc: cleared{}, want: "is required: give fixed or calendar"},
	{name: "no span", body: `{"zone": "UTC"}`, want: "is required: give fixed or calendar"},
	{name: "two spans", body: `{"fixed": "900s", "calendar": "CALENDAR_UNIT_DAY"}`, want: "exclude each other"},
	{name: "two zones", body: `{"calendar": "CALENDAR_UNIT_DAY", "zone": "UTC", "entity_zone": true}`, want: "exclude each other"},
	{name: "a fixed one of each entity", body: `{"fixed": "900s", "entity_zone": true}`, want: "is for calendar windows"},
	{name: "a fixed one with a zone", body: `{"fixed": "900s", "zone": "UTC"}`, want: "is for calendar windows"},
}}

// enumRules are those of an enum, of which one value is named.
func enumRules(name string) fieldRules {
	return fieldRules{bad: []badValue{
		{name: "no name", body: `"FORTNIGHT"`, query: []string{"FORTNIGHT"}, want: name},
		{name: "a fraction", body: `1.5`, query: []string{"1.5"}, want: "must be one of"},
		{name: "an unknown number", body: `99`, query: []string{"99"}, grpc: protoreflect.EnumNumber(99), want: "must be"},
	}}
}

func timeRules(more ...badValue) fieldRules {
	bad := []badValue{
		{name: "no time", body: `"yesterday"`, query: []string{"yesterday"}, want: "must be an RFC 3339 time"},
		{name: "a number", body: `1767225600`, query: []string{"1767225600"}, want: "must be an RFC 3339 time"},
		{name: "no zone", body: `"2026-01-03T00:00:00"`, query: []string{"2026-01-03T00:00:00"}, want: "must be an RFC 3339 time"},
		{name: "no such day", body: `"2026-02-30T00:00:00Z"`, query: []string{"2026-02-30T00:00:00Z"}, want: "must be an RFC 3339 time"},
		{name: "a + that became a space", query: []string{"2026-01-03T00:00:00 01:00"}, want: "is written %2B"},
		{name: "two times", query: []string{"2026-01-03T00:00:00Z", "2026-01-03T00:00:00Z"}, want: "takes one value, not 2"},
		{name: "a time beyond all", body: `"2200-01-01T00:00:01Z"`, query: []string{"2200-01-01T00:00:01Z"},
			grpc: &timestamppb.Timestamp{Seconds: 7_258_118_401}, want: "must be between 1970-01-01 and 2200-01-01"},
		{name: "a time before all", body: `"1969-12-31T23:59:59Z"`, query: []string{"1969-12-31T23:59:59Z"},
			grpc: &timestamppb.Timestamp{Seconds: -1}, want: "must be between 1970-01-01 and 2200-01-01"},
		{name: "negative nanoseconds", grpc: &timestamppb.Timestamp{Seconds: 1_767_398_400, Nanos: -1}, want: "is no valid timestamp"},
	}
	return fieldRules{bad: append(bad, more...)}
}
