package query

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// GetLatest streams the latest reading of each series that the selector
// matches.
func (s *Server) GetLatest(
	req *energyv1.GetLatestRequest, out grpc.ServerStreamingServer[energyv1.GetLatestResponse],
) error {
	selected, err := parseSelector(req.GetSelector())
	if err != nil {
		return err
	}
	type response = *energyv1.GetLatestResponse
	c := s.epochs().Newest()
	return stream(out.Context(), s, out.Send,
		func(ctx context.Context, tx *goldstore.ReadTx, emit func(response) error) error {
			series, registry, err := selected.find(ctx, tx, goldstore.Page{}, false)
			if err != nil {
				return err
			}
			latest, err := tx.Latest(ctx, series)
			if err != nil {
				return err
			}
			for _, one := range series {
				l, ok := latest[one.ID]
				m := c.Metric(one.Series)
				if !ok || !selected.picks(registry, one.EntityID, gold.WindowStart(l.At, m.Window)) {
					continue
				}
				err := emit(&energyv1.GetLatestResponse{
					Series: wire.SeriesKey(one.Series), Kind: energyv1.Kind(m.Kind),
					Time: timestamp(l.At), Value: l.Value, Quality: energyv1.Quality(l.Quality),
					LastChange: timestamppb.New(l.ChangedAt),
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
}
