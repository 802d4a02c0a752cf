package query

import (
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// setFinality says in an answer how far it can be relied on at a time, in Unix
// ns.
func setFinality(m *catalog.Metric, g *gold.Aggregate, at int64, out *energyv1.Aggregate) {
	out.Finality = energyv1.Finality(g.Finality(m, at))
	out.ClosesAt = timestamp(g.ClosesAt(m))
}
