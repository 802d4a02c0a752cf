package query

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/tracing"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// maxExplained bounds the versions of one answer: their messages are fetched from
// the broker one by one.
const maxExplained = 5_000

// ExplainAggregate streams what gold has of each reading of a window.
func (s *Server) ExplainAggregate(
	req *energyv1.ExplainAggregateRequest, out grpc.ServerStreamingServer[energyv1.ExplainAggregateResponse],
) error {
	q, err := parseExplain(req)
	if err != nil {
		return err
	}
	if err := notAhead(q.knownAt, s.now().UnixNano()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(out.Context(), s.timeout)
	defer cancel()
	var (
		versions []gold.Version
		told     telling
	)
	err = s.store.Read(ctx, func(tx *goldstore.ReadTx) (err error) { // invariant 11
		if versions, err = q.versions(ctx, tx); err == nil {
			told.releases, err = q.releases(ctx, tx, versions)
		}
		return err
	})
	if err != nil {
		return statusOf(err)
	}
	if q.knownAt != nil {
		versions = gold.KnownAt(s.epochs().Newest().History(), versions, *q.knownAt)
	}
	if told.origins, err = s.origins(ctx, versions); err != nil {
		return statusOf(err)
	}
	for i := 0; i < len(versions); {
		j := i + 1
		for j < len(versions) && versions[j].Time == versions[i].Time {
			j++
		}
		message, err := told.explain(versions[i:j])
		if err == nil {
			err = out.Send(message)
		}
		if err != nil {
			return statusOf(err)
		}
		i = j
	}
	return nil
}

// explanation is a checked request.
type explanation struct {
	series   reading.Series
	from, to int64
	knownAt  *int64
}

func parseExplain(req *energyv1.ExplainAggregateRequest) (q explanation, err error) {
	key := req.GetSeries()
	q.series = wire.SeriesOf(key)
	for _, name := range []struct{ field, value string }{
		{"series.entity_id", key.GetEntityId()}, {"series.metric", key.GetMetric()}, {"series.unit", key.GetUnit()},
	} {
		if fault := nameFault(name.value); fault != "" {
			return q, invalid(name.field, "%s", fault)
		}
		if name.value == "" && name.field != "series.unit" {
			return q, invalid(name.field, "is required")
		}
	}
	if req.GetStart() == nil {
		return q, invalid("start", "is required")
	}
	if req.GetEnd() == nil {
		return q, invalid("end", "is required")
	}
	if q.from, err = instant("start", req.GetStart(), 0); err != nil {
		return q, err
	}
	if q.to, err = instant("end", req.GetEnd(), 0); err != nil {
		return q, err
	}
	if q.from >= q.to {
		return q, invalid("end", "must be after start")
	}
	q.knownAt, err = knownAt(req.GetKnownAt())
	return q, err
}

// versions returns the versions of the series in [from, to), normalized.
func (q *explanation) versions(ctx context.Context, tx *goldstore.ReadTx) (versions []gold.Version, err error) {
	all, err := tx.Series(ctx, goldstore.Selector{
		Entities: []string{q.series.EntityID}, Metrics: []string{q.series.Metric},
	})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(one goldstore.Series) bool { return one.Series == q.series })
	if i < 0 && len(all) > 0 {
		return nil, invalid("series.unit", "%q is not that of %s %s: give %s", q.series.Unit, q.series.EntityID,
			q.series.Metric, units(all))
	}
	if i < 0 {
		return nil, nil
	}
	span := goldstore.Span{ID: all[i].ID, From: q.from, To: q.to}
	err = tx.VersionRows(ctx, []goldstore.Span{span}, func(_ int, r *goldstore.VersionsRow) error {
		for _, v := range r.Versions {
			if v.Time >= q.from && v.Time < q.to {
				versions = append(versions, v)
			}
		}
		if len(versions) > maxExplained {
			return invalid("end", "is too long after start: at most %d versions are explained at once", maxExplained)
		}
		return nil
	})
	return versions, err
}

// units lists the units of series.
func units(series []goldstore.Series) string {
	names := make([]string, len(series))
	for i := range series {
		names[i] = strconv.Quote(series[i].Unit)
	}
	return strings.Join(names, " or ")
}

// origins is where versions came from.
type origins map[place]*message

// place is where a message is stored.
type place struct {
	stream   uint32
	sequence uint64
}

// message is what is told of a stored message, with the readings that versions are
// of by their positions; nil in their place before they are found.
type message struct {
	sought, held     bool
	subject, traceID string
	readings         map[uint32]*reading.Reading
}

// origins fetches the messages that versions came from, as far as they are held.
func (s *Server) origins(ctx context.Context, versions []gold.Version) (origins, error) {
	all := make(origins)
	for i := range versions {
		at := place{versions[i].Stamp.Stream, versions[i].Stamp.Sequence}
		if all[at] == nil {
			all[at] = &message{readings: make(map[uint32]*reading.Reading)}
		}
		all[at].readings[versions[i].Stamp.Index] = nil
	}
	for i := range versions {
		stamp := versions[i].Stamp
		if m := all[place{stamp.Stream, stamp.Sequence}]; !m.sought {
			m.sought = true
			if err := m.fetch(ctx, s.pipeline.JetStream, stamp); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// fetch reads a message from its stream, if that still holds it.
func (m *message) fetch(ctx context.Context, js jetstream.JetStream, stamp reading.Stamp) error {
	stored, err := broker.Original(ctx, js, int(stamp.Stream), stamp.Sequence, time.Unix(0, stamp.Received))
	switch {
	case err != nil:
		return brokerError{err}
	case stored == nil:
		return nil
	}
	m.held, m.subject, m.traceID = true, stored.Subject, traceID(ctx, stored.Header)
	decoder := bronze.Decoder{Received: stamp.Received}
	decoder.Decode(stored.Header.Get("Content-Type"), stored.Data, func(index uint32, r reading.Reading) {
		if _, wanted := m.readings[index]; wanted {
			m.readings[index] = &r
		}
	}, func(bronze.Fault) {})
	return nil
}

// telling is what is known of versions besides themselves.
type telling struct {
	origins  origins
	releases map[int64]reading.Decision // by when
}

// releases returns who released versions of the series that rest on a waiver, by when.
// A version has the stamp of one duplicate and the release of another, so that only
// the time tells.
func (q *explanation) releases(
	ctx context.Context, tx *goldstore.ReadTx, versions []gold.Version,
) (map[int64]reading.Decision, error) {
	var at []int64
	for i := range versions {
		if versions[i].Released != 0 {
			at = append(at, versions[i].Released)
		}
	}
	if len(at) == 0 {
		return nil, nil //nolint:nilnil // none was
	}
	return tx.Releases(ctx, q.series.EntityID, q.series.Metric, at)
}

// explain tells what becomes of the versions of one event time.
func (t *telling) explain(same []gold.Version) (*energyv1.ExplainAggregateResponse, error) {
	out := &energyv1.ExplainAggregateResponse{Time: timestamp(same[0].Time)}
	explained := gold.Explain(same)
	for i := range explained {
		v := &explained[i]
		one := &energyv1.ExplainedVersion{
			Value: v.Value, Quality: energyv1.Quality(v.Quality), Revision: v.Revision, Epoch: v.Epoch,
			Rejected: v.Rejected, Released: v.Waived, Outcome: energyv1.Outcome(v.Outcome), Reason: reason(v, &explained[0]),
		}
		if v.Length > 0 {
			one.Length = durationpb.New(v.Length)
		}
		if v.Exchange {
			one.ExchangeStart = &v.ExchangeStart
		}
		for r := range v.Flags.All() {
			one.Flags = append(one.Flags, r.String())
		}
		var err error
		if one.Origin, err = t.origins.origin(v.Stamp); err != nil {
			return nil, err
		}
		if v.Waived {
			t.released(v, one)
		}
		out.Versions = append(out.Versions, one)
	}
	return out, nil
}

// released says of a version that rests on a waiver who gave it, when and why.
func (t *telling) released(v *gold.Explained, one *energyv1.ExplainedVersion) {
	text := "it was released from quarantine"
	if v.Released != 0 {
		one.ReleasedAt = timestamp(v.Released)
		text += " at " + one.GetReleasedAt().AsTime().Format(time.RFC3339)
	}
	if by, known := t.releases[v.Released]; known {
		one.ReleasedBy, one.ReleaseReason = by.Person, by.Reason
		text += fmt.Sprintf(" by %s: %s", by.Person, by.Reason)
	}
	one.Reason += "; " + text
}

// reason says an outcome in words; best is the version that counts or withdraws,
// if one does.
func reason(v, best *gold.Explained) string {
	switch v.Outcome {
	case gold.Counts:
		return "it is the reading"
	case gold.Withdraws:
		return "it takes the reading out"
	case gold.LesserQuality:
		return fmt.Sprintf("%s yields to %s", v.Quality, best.Quality)
	case gold.LesserRevision:
		return fmt.Sprintf("revision %d yields to revision %d", v.Revision, best.Revision)
	case gold.Earlier:
		return "another of its quality and revision was received later; a revision would tell them apart"
	case gold.LesserValue:
		return "another was received with it, and is greater"
	case gold.JudgedAgain:
		return "the same content stands by another judgement of it"
	case gold.Rejected:
		return fmt.Sprintf("the rules of epoch %d reject it", v.Epoch)
	case gold.Overruled:
		return "the rules of a later epoch reject it"
	default:
		return ""
	}
}

// origin tells where a version came from.
func (o origins) origin(s reading.Stamp) (*energyv1.Origin, error) {
	out := &energyv1.Origin{
		Received: timestamp(s.Received), Stream: broker.IngressStream(int(s.Stream)), Sequence: s.Sequence, Index: s.Index,
	}
	m := o[place{s.Stream, s.Sequence}]
	out.Held, out.Subject, out.TraceId = m.held, m.subject, m.traceID
	if r := m.readings[s.Index]; r != nil {
		out.Sent = new(energyv1.Reading)
		if err := proto.Unmarshal(bronze.AppendProtobuf(nil, r), out.GetSent()); err != nil {
			return nil, fmt.Errorf("reading %d of message %d: %w", s.Index, s.Sequence, err)
		}
	}
	return out, nil
}

// traceID returns the id of the trace that a message is of, empty when it is of none.
func traceID(ctx context.Context, h nats.Header) string {
	c := tracing.Extract(ctx, h)
	if !c.HasTraceID() {
		return ""
	}
	return c.TraceID().String()
}
