package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
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
	ctx, cancel := context.WithTimeout(out.Context(), s.timeout)
	defer cancel()
	var versions []gold.Version
	err = s.store.Read(ctx, func(tx *goldstore.ReadTx) (err error) {
		versions, err = q.versions(ctx, tx)
		return err
	})
	if err != nil {
		return statusOf(err)
	}
	if q.knownAt != nil {
		versions = gold.KnownAt(s.epochs().Newest().History(), versions, *q.knownAt)
	}
	origins := origins{js: s.pipeline.JetStream, held: make(map[place]*message)}
	for i := 0; i < len(versions); {
		j := i + 1
		for j < len(versions) && versions[j].Time == versions[i].Time {
			j++
		}
		message, err := origins.explain(ctx, versions[i:j])
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
	err = tx.VersionRows(ctx, []int64{all[i].ID}, q.from, q.to, func(r *goldstore.VersionsRow) error {
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

// origins fetches the messages that versions came from.
type origins struct {
	js   jetstream.JetStream
	held map[place]*message
}

// place is where a message is stored.
type place struct {
	stream   uint32
	sequence uint64
}

// message is a stored message, and its readings by their positions; nil when the
// stream no longer holds it.
type message struct {
	*broker.Stored
	readings map[uint32]reading.Reading
}

// explain tells what becomes of the versions of one event time.
func (o *origins) explain(ctx context.Context, same []gold.Version) (*energyv1.ExplainAggregateResponse, error) {
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
		if one.Origin, err = o.origin(ctx, v.Stamp); err != nil {
			return nil, err
		}
		out.Versions = append(out.Versions, one)
	}
	return out, nil
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
func (o *origins) origin(ctx context.Context, s reading.Stamp) (*energyv1.Origin, error) {
	out := &energyv1.Origin{
		Received: timestamp(s.Received), Stream: broker.IngressStream(int(s.Stream)), Sequence: s.Sequence, Index: s.Index,
	}
	m, err := o.message(ctx, out.GetStream(), s)
	if err != nil || m.Stored == nil {
		return out, err
	}
	out.Held, out.Subject, out.TraceId = true, m.Subject, traceID(m.Header.Get("traceparent"))
	if r, ok := m.readings[s.Index]; ok {
		out.Sent = new(energyv1.Reading)
		err = proto.Unmarshal(bronze.AppendProtobuf(nil, &r), out.GetSent())
	}
	return out, err
}

// message fetches a message once.
func (o *origins) message(ctx context.Context, stream string, s reading.Stamp) (*message, error) {
	at := place{s.Stream, s.Sequence}
	if m, ok := o.held[at]; ok {
		return m, nil
	}
	m := new(message)
	stored, err := broker.Get(ctx, o.js, stream, s.Sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return nil, brokerError{err}
	case stored.Received.Equal(time.Unix(0, s.Received)): // else the stream was made anew
		m.Stored, m.readings = stored, make(map[uint32]reading.Reading)
		decoder := bronze.Decoder{Received: s.Received}
		decoder.Decode(stored.Header.Get("Content-Type"), stored.Data,
			func(index uint32, r reading.Reading) { m.readings[index] = r }, func(bronze.Fault) {})
	}
	o.held[at] = m
	return m, nil
}

// traceID returns the trace id of a traceparent header, empty when it is none:
// version, trace id, parent id and flags in hexadecimal digits.
func traceID(parent string) string {
	parts := strings.Split(parent, "-")
	if len(parts) < 4 || len(parts[1]) != 32 || strings.Trim(parts[1], "0123456789abcdef") != "" {
		return ""
	}
	return parts[1]
}
