package query

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// newAnswer returns an answer that reads one series. Its windows are final or
// not by the server's clock.
func (s *Server) newAnswer(
	tx *goldstore.ReadTx, c *catalog.Catalog, series goldstore.Series, asked timeRange,
) *answer {
	return &answer{
		tx: tx, series: series, catalog: c, metric: c.Metric(series.Series), asked: asked, knownAt: s.now(),
	}
}

// finality says in an answer how far it can be relied on.
func (a *answer) finality(g *gold.Aggregate, out *energyv1.Aggregate) {
	out.Finality = energyv1.Finality(g.Finality(a.metric, a.knownAt.UnixNano()))
	out.ClosesAt = timestamppb.New(time.Unix(0, g.ClosesAt(a.metric)))
}
