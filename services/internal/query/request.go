package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/entity"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// timeRange is the times that are asked for.
type timeRange struct {
	start, end int64 // Unix ns; the least and the greatest int64 when not given
}

// question is a checked request for aggregates.
type question struct {
	timeRange
	scope
	fill    energyv1.GapFill
	knownAt *int64 // Unix ns; nil is now
}

// parseQuestion checks a request. Its error names the field and what is allowed.
func parseQuestion(req *energyv1.QueryAggregatesRequest) (q question, err error) {
	if q.selection, err = parseSelector(req.GetSelector()); err != nil {
		return q, err
	}
	if q.start, err = instant("start", req.GetStart(), math.MinInt64); err != nil {
		return q, err
	}
	if q.end, err = instant("end", req.GetEnd(), math.MaxInt64); err != nil {
		return q, err
	}
	if q.start >= q.end {
		return q, invalid("end", "must be after start")
	}
	if err := q.setWindow(req.GetWindow()); err != nil {
		return q, err
	}
	if err := q.setGroup(req.GetGroupBy(), req.GetGroupLabel()); err != nil {
		return q, err
	}
	if q.fill = req.GetGapFill(); energyv1.GapFill_name[int32(q.fill)] == "" {
		return q, invalid("gap_fill", "must be GAP_FILL_ with NONE, NULL, PREVIOUS or LINEAR")
	}
	q.knownAt, err = knownAt(req.GetKnownAt())
	return q, err
}

func knownAt(t *timestamppb.Timestamp) (*int64, error) {
	if t == nil {
		return nil, nil //nolint:nilnil // absent means now
	}
	at, err := instant("known_at", t, 0)
	return &at, err
}

// maxAhead is how far the clock of who asks may be ahead of the server's.
const maxAhead = int64(time.Minute)

// notAhead refuses to tell what will be known.
func notAhead(knownAt *int64, now int64) error {
	if knownAt != nil && *knownAt > now+maxAhead {
		return invalid("known_at", "is in the future: leave it out for what is known now")
	}
	return nil
}

// setWindow sets the windows of answers.
func (s *scope) setWindow(w *energyv1.Window) (err error) {
	if !w.GetEntityZone() {
		s.windows, err = windows(w)
		return err
	}
	switch span := w.GetSpan().(type) {
	case *energyv1.Window_Calendar:
		if w.GetZone() != "" {
			return invalid("window.zone", "and window.entity_zone exclude each other: give one of them")
		}
		s.calendar = gold.Calendar(span.Calendar)
		if _, err := gold.CalendarWindows(s.calendar, time.UTC); err != nil {
			return invalid("window.calendar", calendars)
		}
		return nil
	case *energyv1.Window_Fixed:
		return invalid("window.entity_zone", "is for calendar windows: leave it out with a fixed one")
	default:
		return invalid("window", "is required: give fixed or calendar")
	}
}

// setGroup sets what answers are put together by.
func (s *scope) setGroup(by energyv1.GroupBy, label string) error {
	if energyv1.GroupBy_name[int32(by)] == "" {
		return invalid("group_by", "must be GROUP_BY_ with SERIES, PARENT, LABEL or ALL")
	}
	s.by, s.label = by, label
	if by != energyv1.GroupBy_GROUP_BY_LABEL {
		if label != "" {
			return invalid("group_label", "is for GROUP_BY_LABEL: leave it out with another group_by")
		}
		return nil
	}
	if err := entity.CheckLabel(label); err != nil {
		return invalid("group_label", "must be the key of a label: %v", err)
	}
	return nil
}

// What a selector may hold. Longer names are refused before they become series.
const (
	maxSelected  = 10_000
	maxNameBytes = 256
)

// maxContained bounds the texts that a series is searched for.
const maxContained = 16

// pageOf returns what a list of series is narrowed to.
func pageOf(req *energyv1.ListSeriesRequest) (goldstore.Page, error) {
	after := req.GetAfter()
	page := goldstore.Page{
		Contains: req.GetContains(), Limit: req.GetLimit(),
		After: reading.Series{EntityID: after.GetEntityId(), Metric: after.GetMetric(), Unit: after.GetUnit()},
	}
	if n := len(page.Contains); n > maxContained {
		return page, invalid("contains", "has %d texts: at most %d are allowed", n, maxContained)
	}
	if err := checkNames("contains", page.Contains); err != nil {
		return page, err
	}
	for _, name := range []struct{ field, value string }{
		{"after.entity_id", page.After.EntityID}, {"after.metric", page.After.Metric}, {"after.unit", page.After.Unit},
	} {
		if fault := nameFault(name.value); fault != "" {
			return page, invalid(name.field, "%s", fault)
		}
	}
	return page, nil
}

func checkNames(field string, names []string) error {
	if len(names) > maxSelected {
		return invalid(field, "has %d names: at most %d are allowed, ask in parts", len(names), maxSelected)
	}
	for i, name := range names {
		field := fmt.Sprintf("%s[%d]", field, i)
		if name == "" {
			return invalid(field, "is empty: give names, or no list for all")
		}
		if fault := nameFault(name); fault != "" {
			return invalid(field, "%s", fault)
		}
	}
	return nil
}

// nameFault says why nothing can have a name, empty when something can.
func nameFault(name string) string {
	switch {
	case len(name) > maxNameBytes:
		return fmt.Sprintf("has %d bytes: at most %d are allowed", len(name), maxNameBytes)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Sprintf("%q must be UTF-8 without control characters", name)
	}
	return ""
}

// The times that can be asked for. They leave room around readings, which are
// not before 2000 nor in the future, and around every window in 64 bits of ns.
var (
	earliest = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

const (
	// maxWindow bounds fixed windows.
	maxWindow = 366 * 24 * time.Hour
	// maxWindows bounds the windows of one series in one answer: a century of
	// days, or ten years of quarter hours.
	maxWindows = 400_000
)

func instant(field string, t *timestamppb.Timestamp, otherwise int64) (int64, error) {
	switch {
	case t == nil:
		return otherwise, nil
	case !t.IsValid():
		return 0, invalid(field, "is no valid timestamp: %v", t.CheckValid())
	case t.AsTime().Before(earliest) || t.AsTime().After(latest):
		return 0, invalid(field, "must be between 1970-01-01 and 2200-01-01")
	}
	return t.AsTime().UnixNano(), nil
}

// calendars says which calendar windows there are.
const calendars = "must be CALENDAR_UNIT_ with DAY, WEEK, MONTH, YEAR or GAS_DAY"

func windows(w *energyv1.Window) (gold.Windows, error) {
	switch span := w.GetSpan().(type) {
	case *energyv1.Window_Fixed:
		if w.GetZone() != "" {
			return gold.Windows{}, invalid("window.zone", "is for calendar windows: leave it out with a fixed one")
		}
		if d := span.Fixed.AsDuration(); !span.Fixed.IsValid() || d <= 0 || d > maxWindow {
			return gold.Windows{}, invalid("window.fixed", "must be a duration above 0s and at most %s", maxWindow)
		}
		return gold.FixedWindows(span.Fixed.AsDuration())
	case *energyv1.Window_Calendar:
		zone, err := time.LoadLocation(w.GetZone())
		if err != nil || w.GetZone() == "Local" {
			return gold.Windows{}, invalid("window.zone",
				"%.64q is no IANA time zone: give one such as Europe/Paris, or none for UTC", w.GetZone())
		}
		out, err := gold.CalendarWindows(gold.Calendar(span.Calendar), zone)
		if err != nil {
			return gold.Windows{}, invalid("window.calendar", calendars)
		}
		return out, nil
	default:
		return gold.Windows{}, invalid("window", "is required: give fixed or calendar")
	}
}

// fits checks that the windows can be made of a series' base windows.
func (s *scope) fits(m *catalog.Metric, series reading.Series) error {
	if fixed := s.windows.Fixed(); fixed%m.Window != 0 {
		return invalid("window.fixed", "%s is no multiple of %s, the base window of %s", fixed, m.Window, series)
	}
	return nil
}

func invalid(field, format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, "%s %s", field, fmt.Sprintf(format, args...))
}

// brokerError is an error that came from the broker, not from the store.
type brokerError struct{ error }

func (e brokerError) Unwrap() error { return e.error }

// statusOf maps errors to gRPC codes. An error that has a code keeps it.
func statusOf(err error) error {
	var fromBroker brokerError
	switch _, hasCode := status.FromError(err); {
	case hasCode:
		return err
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "the caller went away")
	case errors.As(err, &fromBroker) && broker.IsRetryable(err): // a call of it that took too long among them
		return status.Errorf(codes.Unavailable, "the broker does not answer, try again: %v", err)
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded,
			"the answer took too long, or was taken too slowly: ask for less, or in parts")
	case errors.Is(err, goldstore.ErrNotMigrated), errors.Is(err, broker.ErrNotProvisioned):
		return status.Error(codes.FailedPrecondition, err.Error())
	case goldstore.IsRetryable(err):
		return status.Errorf(codes.Unavailable, "the gold store does not answer, try again: %v", err)
	default:
		return status.Error(codes.Internal, err.Error())
	}
}
