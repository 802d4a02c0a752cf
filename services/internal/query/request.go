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
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// timeRange is a checked request for windows.
type timeRange struct {
	start, end int64 // Unix ns; the least and the greatest int64 when not given
	windows    gold.Windows
}

// parseRange checks a request. Its error names the field and what is allowed.
func parseRange(req *energyv1.QueryAggregatesRequest) (timeRange, error) {
	r := timeRange{start: math.MinInt64, end: math.MaxInt64}
	err := checkSelector(req.GetSelector())
	if err != nil {
		return r, err
	}
	if r.start, err = instant("start", req.GetStart(), r.start); err != nil {
		return r, err
	}
	if r.end, err = instant("end", req.GetEnd(), r.end); err != nil {
		return r, err
	}
	if r.start >= r.end {
		return r, invalid("end", "must be after start")
	}
	r.windows, err = windows(req.GetWindow())
	return r, err
}

// What a selector may hold. Longer names are refused before they become series.
const (
	maxSelected  = 10_000
	maxNameBytes = 256
)

// checkSelector checks a selector, which may be nil.
func checkSelector(s *energyv1.Selector) error {
	if err := checkNames("selector.entity_ids", s.GetEntityIds()); err != nil {
		return err
	}
	return checkNames("selector.metrics", s.GetMetrics())
}

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
			return gold.Windows{}, invalid("window.calendar", "must be CALENDAR_UNIT_ with DAY, WEEK, MONTH, YEAR or GAS_DAY")
		}
		return out, nil
	default:
		return gold.Windows{}, invalid("window", "is required: give fixed or calendar")
	}
}

// fits checks that the windows can be made of a series' base windows.
func (r *timeRange) fits(m *catalog.Metric, s reading.Series) error {
	if fixed := r.windows.Fixed(); fixed%m.Window != 0 {
		return invalid("window.fixed", "%s is no multiple of %s, the base window of %s", fixed, m.Window, s)
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
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded,
			"the answer took too long, or was taken too slowly: ask for less, or in parts")
	case errors.Is(err, goldstore.ErrNotMigrated), errors.Is(err, broker.ErrNotProvisioned):
		return status.Error(codes.FailedPrecondition, err.Error())
	case goldstore.IsRetryable(err):
		return status.Errorf(codes.Unavailable, "the gold store does not answer, try again: %v", err)
	case errors.As(err, &fromBroker) && broker.IsRetryable(err):
		return status.Errorf(codes.Unavailable, "the broker does not answer, try again: %v", err)
	default:
		return status.Error(codes.Internal, err.Error())
	}
}
