package query

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func fixed(d time.Duration) *energyv1.Window {
	return &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: durationpb.New(d)}}
}

func calendar(unit energyv1.CalendarUnit, zone string) *energyv1.Window {
	return &energyv1.Window{Span: &energyv1.Window_Calendar{Calendar: unit}, Zone: zone}
}

func TestBadRequestsNameTheField(t *testing.T) {
	t.Parallel()
	day := energyv1.CalendarUnit_CALENDAR_UNIT_DAY
	tests := []struct {
		name string
		req  *energyv1.QueryAggregatesRequest
		want string
	}{
		{"a window is required", &energyv1.QueryAggregatesRequest{}, "window is required"},
		{"a window without a span is none", &energyv1.QueryAggregatesRequest{Window: &energyv1.Window{Zone: "UTC"}}, "window is required"},
		{"a fixed window must be positive", &energyv1.QueryAggregatesRequest{Window: fixed(0)}, "window.fixed must be a duration above 0s"},
		{"a fixed window is bounded", &energyv1.QueryAggregatesRequest{Window: fixed(9000 * time.Hour)}, "at most 8784h0m0s"},
		{"a fixed window has no zone", &energyv1.QueryAggregatesRequest{Window: &energyv1.Window{
			Span: fixed(time.Hour).GetSpan(), Zone: "UTC"}}, "window.zone is for calendar windows"},
		{"a zone must be known", &energyv1.QueryAggregatesRequest{Window: calendar(day, "Mars/Olympus")}, `window.zone "Mars/Olympus"`},
		{"the server's own zone is none", &energyv1.QueryAggregatesRequest{Window: calendar(day, "Local")}, `window.zone "Local"`},
		{"a calendar unit must be known", &energyv1.QueryAggregatesRequest{Window: calendar(99, "")}, "window.calendar must be CALENDAR_UNIT_"},
		{"unspecified is no calendar unit", &energyv1.QueryAggregatesRequest{Window: calendar(0, "")}, "window.calendar must be CALENDAR_UNIT_"},
		{"start must be a timestamp", &energyv1.QueryAggregatesRequest{
			Start: &timestamppb.Timestamp{Nanos: -1}, Window: fixed(time.Hour)}, "start is no valid timestamp"},
		{"end must be within bounds", &energyv1.QueryAggregatesRequest{
			End: timestamppb.New(time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC)), Window: fixed(time.Hour)}, "end must be between"},
		{"names are not empty", &energyv1.QueryAggregatesRequest{
			Selector: &energyv1.Selector{EntityIds: []string{"a", ""}}, Window: fixed(time.Hour)}, "selector.entity_ids[1] is empty"},
		{"names are no longer than those of series", &energyv1.QueryAggregatesRequest{
			Selector: &energyv1.Selector{Metrics: []string{strings.Repeat("a", 257)}}, Window: fixed(time.Hour)}, "selector.metrics[0] has 257 bytes"},
		{"names have no control characters", &energyv1.QueryAggregatesRequest{
			Selector: &energyv1.Selector{EntityIds: []string{"a\x00"}}, Window: fixed(time.Hour)}, "selector.entity_ids[0]"},
		{"names are so many", &energyv1.QueryAggregatesRequest{
			Selector: &energyv1.Selector{EntityIds: make([]string, 10_001)}, Window: fixed(time.Hour)}, "selector.entity_ids has 10001 names"},
		{"end must be after start", &energyv1.QueryAggregatesRequest{
			Start: timestamppb.New(time.Unix(5, 0)), End: timestamppb.New(time.Unix(5, 0)), Window: fixed(time.Hour)}, "end must be after start"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseQuestion(tt.req)
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want InvalidArgument with %q", err, tt.want)
			}
		})
	}
}

func TestFixedWindowsMustBeMultiplesOfTheBase(t *testing.T) {
	t.Parallel()
	m := &catalog.Metric{Window: 15 * time.Minute}
	for width, fits := range map[time.Duration]bool{
		15 * time.Minute: true, 45 * time.Minute: true, time.Hour: true, 10 * time.Minute: false, time.Minute: false,
	} {
		r, err := parseQuestion(&energyv1.QueryAggregatesRequest{Window: fixed(width)})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.fits(m, reading.Series{EntityID: "a"}); (err == nil) != fits {
			t.Errorf("windows of %s: %v", width, err)
		}
	}
}

func TestErrorsHaveCodes(t *testing.T) {
	t.Parallel()
	for code, err := range map[codes.Code]error{
		codes.OK:                 nil,
		codes.Canceled:           context.Canceled,
		codes.DeadlineExceeded:   context.DeadlineExceeded,
		codes.FailedPrecondition: goldstore.ErrNotMigrated,
		codes.Unavailable:        brokerError{errors.Join(broker.ErrDisconnected, context.DeadlineExceeded)},
		codes.Internal:           errors.New("unforeseen"),
		codes.InvalidArgument:    invalid("x", "must be y"),
	} {
		if got := status.Code(statusOf(err)); got != code {
			t.Errorf("%v has code %s, want %s", err, got, code)
		}
	}
}
