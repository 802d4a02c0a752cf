package client

import (
	"context"
	"iter"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Series is a series that the platform has readings of.
type Series struct {
	reading.Series

	Kind       Kind
	EnergyUnit string        // empty where the metric has no energy
	PowerUnit  string        // empty where the metric has no energy
	BaseWindow time.Duration // fixed windows are multiples of it
}

// Series returns the series that match, by entity, metric and unit.
func (c *Client) Series(ctx context.Context, s Selector) iter.Seq2[Series, error] {
	req := &energyv1.ListSeriesRequest{Selector: s.message()}
	return each(responses(ctx, "series", req, c.query.ListSeries), func(r *energyv1.ListSeriesResponse) Series {
		return Series{
			Series: seriesOf(r.GetSeries()), Kind: Kind(r.GetKind()),
			EnergyUnit: r.GetEnergyUnit(), PowerUnit: r.GetPowerUnit(), BaseWindow: r.GetBaseWindow().AsDuration(),
		}
	})
}

// Latest is the latest reading of a series that counts.
type Latest struct {
	Series     reading.Series
	Kind       Kind
	Time       time.Time // UTC
	Value      float64   // in the series' unit
	Quality    reading.Quality
	LastChange time.Time // when the row that holds it last changed
}

// Latest returns the latest reading of each series that matches, by entity, metric
// and unit.
func (c *Client) Latest(ctx context.Context, s Selector) iter.Seq2[Latest, error] {
	req := &energyv1.GetLatestRequest{Selector: s.message()}
	return each(responses(ctx, "latest", req, c.query.GetLatest), func(r *energyv1.GetLatestResponse) Latest {
		return Latest{
			Series: seriesOf(r.GetSeries()), Kind: Kind(r.GetKind()), Time: timeOf(r.GetTime()), Value: r.GetValue(),
			Quality: reading.Quality(r.GetQuality()), LastChange: timeOf(r.GetLastChange()),
		}
	})
}

// Registered picks records of entities. Empty lists do not restrict.
type Registered struct {
	IDs     []string  // exact ids
	ValidAt time.Time // only what is valid then, one record an entity; zero is all records
	Parents []string  // ids, one of which the record has as its parent
	Labels  []string  // as "key=value", all of which the record has
}

// Entity is what holds of an entity from a time on, until its next record.
type Entity struct {
	ID        string
	ValidFrom time.Time // zero: it has always held
	Name      string
	Zone      string // IANA name; empty is UTC
	Parent    string // id of the entity that it belongs to
	Labels    map[string]string
}

// Entities returns records of the registry, by id and time.
func (c *Client) Entities(ctx context.Context, r Registered) iter.Seq2[Entity, error] {
	req := &energyv1.ListEntitiesRequest{
		Ids: r.IDs, ValidAt: instant(r.ValidAt), Parents: r.Parents, Labels: r.Labels,
	}
	in := responses(ctx, "entities", req, c.registry.ListEntities)
	return each(in, func(r *energyv1.ListEntitiesResponse) Entity {
		e := r.GetEntity()
		return Entity{
			ID: e.GetId(), ValidFrom: timeOf(e.GetValidFrom()), Name: e.GetName(), Zone: e.GetZone(),
			Parent: e.GetParent(), Labels: e.GetLabels(),
		}
	})
}
