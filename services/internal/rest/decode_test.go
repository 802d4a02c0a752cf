package rest

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func TestFaultsNameTheField(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body, want string }{
		{"no object", `[1]`, "the body must be a JSON object with selector, start, end, window"},
		{"half an object", `{"start":`, "the body must be a JSON object with"},
		{"more than an object", `{} {}`, "the body must be a JSON object with"},
		{"no UTF-8", "{\"window\":{\"zone\":\"\xff\"}}", "the body must be UTF-8"},
		{"an unknown field", `{"begin":"x"}`, `"begin" is unknown: there are selector, start, end, window`},
		{"an unknown field within", `{"window":{"width":1}}`, `"window.width" is unknown: there are window.fixed, window.calendar, window.zone`},
		{"a field given twice", `{"start":null,"start":null}`, `duplicate field "start"`},
		{"a oneof given twice", `{"window":{"fixed":"1s","calendar":1}}`, "window.calendar and window.fixed exclude each other"},
		{"a value for an object", `{"window":"1h"}`, "window must be an object with fixed, calendar, zone"},
		{"a value for a list", `{"selector":{"metrics":"a"}}`, `selector.metrics must be a list, not "a"`},
		{"an element of another type", `{"selector":{"entityIds":["a",5]}}`, "selector.entity_ids[1] must be a string, not 5"},
		{"no time", `{"start":"now"}`, `start must be an RFC 3339 time such as "2026-03-01T10:15:00Z"`},
		{"a time without a zone", `{"end":"2026-03-01T10:15:00"}`, "end must be an RFC 3339 time"},
		{"no duration", `{"window":{"fixed":"1h"}}`, `window.fixed must be seconds such as "900s", not "1h"`},
		{"no name of an enum", `{"window":{"calendar":"DAY"}}`, `window.calendar must be one of CALENDAR_UNIT_DAY, CALENDAR_UNIT_WEEK,`},
		{"a long value", `{"window":{"fixed":"` + strings.Repeat("ü", 999) + `"}}`, "window.fixed must be seconds"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := decode([]byte(tt.body), new(energyv1.QueryAggregatesRequest))
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 400 {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzRequests feeds the same bytes as a body and as a query. Whatever comes,
// an error is short and can be sent.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		`{"selector":{"entity_ids":["a"],"metrics":[]},"window":{"fixed":"900s"}}`, `{"window":{"calendar":7,"zone":null}}`,
		`[[[[`, `{"":1}`, "{\"\xff\":1}", "window.fixed=900s&start=x", "window.fixed.seconds=1&window.fixed=2", "a.b=%ff", "=",
		"selector.entity_ids=a&selector.entity_ids=", "selector.entity_ids.x=1", "window=1&window.zone=UTC", "start=1&start=2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		errs := []error{decode([]byte(s), new(energyv1.QueryAggregatesRequest))}
		if values, err := url.ParseQuery(s); err == nil {
			m := new(energyv1.QueryAggregatesRequest)
			errs = append(errs, queryParser{}.Parse(m, values, utilities.NewDoubleArray(nil)))
		}
		for _, err := range errs {
			if err != nil && (!utf8.ValidString(err.Error()) || len(err.Error()) > 2000) {
				t.Errorf("%q: %q", s, err)
			}
		}
	})
}
