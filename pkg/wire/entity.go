package wire

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/entity"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Entity returns a record of the registry as the contract has it.
func Entity(r *entity.Record) *energyv1.Entity {
	e := &energyv1.Entity{Id: r.ID, Name: r.Name, Zone: r.Zone, Parent: r.Parent, Labels: r.Labels}
	if r.ValidFrom != entity.Ever {
		e.ValidFrom = timestamppb.New(time.Unix(0, r.ValidFrom))
	}
	return e
}

// EntityRecord is the inverse of Entity. The time must be one that fits into
// Unix ns.
func EntityRecord(e *energyv1.Entity) entity.Record {
	r := entity.Record{
		ID: e.GetId(), ValidFrom: entity.Ever,
		Name: e.GetName(), Zone: e.GetZone(), Parent: e.GetParent(), Labels: e.GetLabels(),
	}
	if t := e.GetValidFrom(); t != nil {
		r.ValidFrom = t.AsTime().UnixNano()
	}
	return r
}
