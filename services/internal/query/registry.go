package query

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/energy-platform/energy/pkg/entity"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Registry implements energy.v1.RegistryService.
type Registry struct {
	energyv1.UnimplementedRegistryServiceServer
	server    *Server
	registrar *goldstore.Store
}

// NewRegistry returns the registry that a server answers by. Changes go through
// a store of their own, whose user may write.
func NewRegistry(s *Server, registrar *goldstore.Store) *Registry {
	return &Registry{server: s, registrar: registrar}
}

// ListEntities streams the records that the request selects.
func (g *Registry) ListEntities(
	req *energyv1.ListEntitiesRequest, out grpc.ServerStreamingServer[energyv1.ListEntitiesResponse],
) error {
	if err := checkNames("ids", req.GetIds()); err != nil {
		return err
	}
	selector, err := entitySelector("", req.GetParents(), req.GetLabels())
	if err != nil {
		return err
	}
	validAt, err := instant("valid_at", req.GetValidAt(), 0)
	if err != nil {
		return err
	}
	type response = *energyv1.ListEntitiesResponse
	return stream(out.Context(), g.server, out.Send,
		func(ctx context.Context, tx *goldstore.ReadTx, emit func(response) error) error {
			records, err := tx.Entities(ctx, req.GetIds())
			if err != nil {
				return err
			}
			if req.GetValidAt() != nil {
				records = inForce(records, validAt)
			}
			for i := range records {
				if !selector.Picks(&records[i]) {
					continue
				}
				if err := emit(&energyv1.ListEntitiesResponse{Entity: wire.Entity(&records[i])}); err != nil {
					return err
				}
			}
			return nil
		})
}

// inForce returns, of records by id and time, the one of each entity that is in
// force at t.
func inForce(records []entity.Record, t int64) []entity.Record {
	kept := records[:0]
	for _, r := range records {
		switch n := len(kept); {
		case r.ValidFrom > t:
		case n > 0 && kept[n-1].ID == r.ID:
			kept[n-1] = r
		default:
			kept = append(kept, r)
		}
	}
	return kept
}

// PutEntities registers records, all or none.
func (g *Registry) PutEntities(
	ctx context.Context, req *energyv1.PutEntitiesRequest,
) (*energyv1.PutEntitiesResponse, error) {
	if n := len(req.GetEntities()); n == 0 || n > maxSelected {
		return nil, invalid("entities", "has %d records: from 1 to %d are allowed, send more in parts", n, maxSelected)
	}
	records := make([]entity.Record, len(req.GetEntities()))
	for i, e := range req.GetEntities() {
		var err error
		if records[i], err = record(field("entities", i), e); err != nil {
			return nil, err
		}
	}
	change, err := bounded(ctx, g.server.timeout, func(ctx context.Context) (goldstore.RegistryChange, error) {
		return g.registrar.PutEntities(ctx, records)
	})
	if err != nil {
		return nil, registryStatus("entities", err)
	}
	return &energyv1.PutEntitiesResponse{
		Inserted: uint32(change.Inserted), Updated: uint32(change.Updated), Unchanged: uint32(change.Unchanged),
	}, nil
}

// DeleteEntities takes records out of the registry.
func (g *Registry) DeleteEntities(
	ctx context.Context, req *energyv1.DeleteEntitiesRequest,
) (*energyv1.DeleteEntitiesResponse, error) {
	if n := len(req.GetKeys()); n == 0 || n > maxSelected {
		return nil, invalid("keys", "has %d records: from 1 to %d are allowed, send more in parts", n, maxSelected)
	}
	keys := make([]goldstore.EntityKey, len(req.GetKeys()))
	for i, k := range req.GetKeys() {
		r, err := record(field("keys", i), &energyv1.Entity{Id: k.GetId(), ValidFrom: k.GetValidFrom()})
		if err != nil {
			return nil, err
		}
		keys[i] = goldstore.EntityKey{ID: r.ID, ValidFrom: r.ValidFrom}
	}
	change, err := bounded(ctx, g.server.timeout, func(ctx context.Context) (goldstore.RegistryChange, error) {
		return g.registrar.DeleteEntities(ctx, keys)
	})
	if err != nil {
		return nil, registryStatus("keys", err)
	}
	return &energyv1.DeleteEntitiesResponse{Deleted: uint32(change.Deleted)}, nil
}

// record checks a record that stands at the path.
func record(path string, e *energyv1.Entity) (entity.Record, error) {
	if _, err := instant(path+".valid_from", e.GetValidFrom(), entity.Ever); err != nil {
		return entity.Record{}, err
	}
	r := wire.EntityRecord(e)
	for _, f := range r.Faults() {
		return r, invalid(path+"."+f.Field, "%s", f.Why)
	}
	return r, nil
}

// bounded calls the store for no longer than the timeout.
func bounded[T any](ctx context.Context, timeout time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return call(ctx)
}

// registryStatus maps errors of a change of the registry to gRPC codes.
func registryStatus(field string, err error) error {
	switch {
	case errors.Is(err, entity.ErrInvalid):
		return invalid(field, "is refused: %v", err)
	case errors.Is(err, goldstore.ErrNotAllowed):
		return status.Error(codes.PermissionDenied, goldstore.ErrNotAllowed.Error())
	default:
		return statusOf(err)
	}
}
