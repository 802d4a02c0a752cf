package query

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/decide"
	"github.com/energy-platform/energy/services/internal/refusal"
)

// maxShown bounds what is shown of a message, in bytes.
const maxShown = 64 << 10

// Quarantine implements energy.v1.QuarantineService.
type Quarantine struct {
	energyv1.UnimplementedQuarantineServiceServer
	server *Server
	decide decide.Deps
	log    *slog.Logger
}

// NewQuarantine returns the quarantine that a server answers by. What is decided is
// stored by d, and logged.
func NewQuarantine(s *Server, d decide.Deps, log *slog.Logger) *Quarantine {
	d.Payload = s.payload
	return &Quarantine{server: s, decide: d, log: log}
}

// storeError is an error that came from the store, among those of the broker.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

// payload reads the payload of an entry.
func (s *Server) payload(ctx context.Context, key goldstore.QuarantineKey) (payload []byte, err error) {
	err = s.store.Read(ctx, func(tx *goldstore.ReadTx) error {
		found, err := tx.QuarantineEntries(ctx, []goldstore.QuarantineKey{key}, true)
		if err == nil && len(found) == 1 {
			payload = found[0].Payload
		}
		return err
	})
	if err != nil {
		return nil, storeError{err}
	}
	return payload, nil
}

// ListQuarantine streams the entries that match.
func (q *Quarantine) ListQuarantine(
	req *energyv1.ListQuarantineRequest, out grpc.ServerStreamingServer[energyv1.ListQuarantineResponse],
) error {
	filter, err := quarantineFilter("filter", req.GetFilter())
	if err != nil {
		return err
	}
	page := goldstore.QuarantinePage{NewestFirst: req.GetNewestFirst(), Limit: req.GetLimit()}
	if page.After, err = after("after", req.GetAfter()); err != nil {
		return err
	}
	type response = *energyv1.ListQuarantineResponse
	return stream(out.Context(), q.server, out.Send,
		func(ctx context.Context, tx *goldstore.ReadTx, emit func(response) error) error {
			return tx.Quarantine(ctx, filter, page, func(e *goldstore.QuarantineEntry) error {
				entry, err := quarantineEntry(e)
				if err != nil {
					return err
				}
				return emit(&energyv1.ListQuarantineResponse{Entry: entry})
			})
		})
}

// GetQuarantineEntry returns an entry with all that is known of it.
func (q *Quarantine) GetQuarantineEntry(
	ctx context.Context, req *energyv1.GetQuarantineEntryRequest,
) (*energyv1.GetQuarantineEntryResponse, error) {
	key, err := goldstore.ParseQuarantineKey(req.GetKey())
	if err != nil {
		return nil, invalid("key", "%.128q %v", req.GetKey(), err)
	}
	out, err := bounded(ctx, q.server.timeout, func(ctx context.Context) (*energyv1.GetQuarantineEntryResponse, error) {
		return q.entry(ctx, key)
	})
	if err != nil {
		return nil, statusOf(err)
	}
	return out, nil
}

func (q *Quarantine) entry(
	ctx context.Context, key goldstore.QuarantineKey,
) (*energyv1.GetQuarantineEntryResponse, error) {
	var found, all []goldstore.QuarantineEntry
	err := q.server.store.Read(ctx, func(tx *goldstore.ReadTx) (err error) {
		if found, err = tx.QuarantineEntries(ctx, []goldstore.QuarantineKey{key}, true); err == nil {
			all, err = tx.QuarantineOf(ctx, []reading.Stamp{key.Stamp})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, status.Errorf(codes.NotFound, "there is no entry %s", key)
	}
	out := new(energyv1.GetQuarantineEntryResponse)
	if out.Entry, err = quarantineEntry(&found[0]); err != nil {
		return nil, err
	}
	out.Entry.Payload = found[0].Payload
	for i := range all {
		if all[i].Key() == key {
			continue
		}
		other, err := quarantineEntry(&all[i])
		if err != nil {
			return nil, err
		}
		out.Others = append(out.Others, other)
	}
	if key.Stamp.Stream == refusal.ForeignStream {
		return out, nil
	}
	stored, err := broker.Original(ctx, q.server.pipeline.JetStream, int(key.Stamp.Stream), key.Stamp.Sequence,
		time.Unix(0, key.Stamp.Received))
	switch {
	case err != nil:
		return nil, brokerError{err}
	case stored == nil:
		return out, nil
	}
	out.Held, out.Subject, out.TraceId = true, stored.Subject, traceID(ctx, stored.Header)
	out.ContentType, out.Message = stored.Header.Get("Content-Type"), stored.Data[:min(len(stored.Data), maxShown)]
	return out, nil
}

// CountQuarantine counts the entries that match.
func (q *Quarantine) CountQuarantine(
	ctx context.Context, req *energyv1.CountQuarantineRequest,
) (*energyv1.CountQuarantineResponse, error) {
	filter, err := quarantineFilter("filter", req.GetFilter())
	if err != nil {
		return nil, err
	}
	type counts = []goldstore.QuarantineGroup
	groups, err := bounded(ctx, q.server.timeout, func(ctx context.Context) (groups counts, err error) {
		err = q.server.store.Read(ctx, func(tx *goldstore.ReadTx) error {
			groups, err = tx.QuarantineGroups(ctx, filter)
			return err
		})
		return groups, err
	})
	if err != nil {
		return nil, statusOf(err)
	}
	out := new(energyv1.CountQuarantineResponse)
	for _, g := range groups {
		out.Groups = append(out.Groups, &energyv1.QuarantineGroup{
			Stage: g.Stage, Rule: g.Rule, State: energyv1.QuarantineState(g.State), Entries: g.Entries,
		})
	}
	return out, nil
}

// quarantineEntry returns an entry as it is answered, without its payload.
func quarantineEntry(e *goldstore.QuarantineEntry) (*energyv1.QuarantineEntry, error) {
	out := &energyv1.QuarantineEntry{
		Key: e.Key().String(), State: energyv1.QuarantineState(e.State), Stage: e.Stage, Rule: e.Rule, Epoch: e.Epoch,
		Detail: e.Detail, Received: timestamp(e.Stamp.Received), Sequence: e.Stamp.Sequence, Index: e.Stamp.Index,
		Person: e.Person, Reason: e.Reason,
	}
	for r := range e.Rules.All() {
		out.Rules = append(out.Rules, r.String())
	}
	if e.Stamp.Stream != refusal.ForeignStream {
		out.Stream = broker.IngressStream(int(e.Stamp.Stream))
	}
	if e.At != 0 {
		out.DecidedAt = timestamp(e.At)
	}
	if e.Decoded() {
		out.Reading = new(energyv1.Reading)
		if err := proto.Unmarshal(bronze.AppendProtobuf(nil, &e.Reading), out.GetReading()); err != nil {
			return nil, status.Errorf(codes.Internal, "entry %s: %v", out.GetKey(), err)
		}
	}
	return out, nil
}

// quarantineFilter checks a filter that stands at the path.
func quarantineFilter(path string, f *energyv1.QuarantineFilter) (out goldstore.QuarantineFilter, err error) {
	for i, s := range f.GetStates() {
		if s == energyv1.QuarantineState_QUARANTINE_STATE_UNSPECIFIED || energyv1.QuarantineState_name[int32(s)] == "" {
			return out, invalid(field(path+".states", i),
				"must be QUARANTINE_STATE_ with OPEN, RELEASED, DISCARDED or JUDGED_AGAIN")
		}
		out.States = append(out.States, goldstore.QuarantineState(s))
	}
	for _, names := range []struct {
		field string
		given []string
		to    *[]string
	}{
		{"stages", f.GetStages(), &out.Stages}, {"rules", f.GetRules(), &out.Rules},
		{"entity_ids", f.GetEntityIds(), &out.Entities}, {"metrics", f.GetMetrics(), &out.Metrics},
	} {
		if err := checkNames(path+"."+names.field, names.given); err != nil {
			return out, err
		}
		*names.to = names.given
	}
	for i, rule := range out.Rules {
		if _, known := reading.ParseRule(rule); !known {
			return out, invalid(field(path+".rules", i), "%q is no rule", rule)
		}
	}
	out.ReceivedFrom, out.ReceivedTo, err = halfOpen(path+".received_", f.GetReceivedStart(), f.GetReceivedEnd())
	if err != nil {
		return out, err
	}
	out.From, out.To, err = halfOpen(path+".", f.GetStart(), f.GetEnd())
	return out, err
}

// after returns the key behind which is gone on, nil for the beginning.
func after(name, key string) (*goldstore.QuarantineKey, error) {
	if key == "" {
		return nil, nil //nolint:nilnil // absent means from the beginning
	}
	k, err := goldstore.ParseQuarantineKey(key)
	if err != nil {
		return nil, invalid(name, "%.128q %v", key, err)
	}
	return &k, nil
}

// settle bounds how long an answer waits for the states of entries to show what was
// decided.
const settle = 10 * time.Second
