package aggregator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/lifecycle"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/tracing"
)

// RecomputeStage is the name of recompute's position, whose sequence is the
// number of the epoch that all rows of the partition follow.
const RecomputeStage = "recompute"

// recomputeRows bounds the rows that one transaction computes anew.
const recomputeRows = 200

// recompute brings the rows of one partition to a new epoch's parameters, from
// their own versions. It begins with the first epoch that its position has not,
// wherever it was stopped: rows that it has done are not behind any more.
type recompute struct {
	Deps
	name      string
	partition int
	relay     *relay
	writer    *goldstore.Writer
	behind    []gold.Group // found and not yet computed anew
}

func newRecompute(d Deps, partition int, r *relay) *recompute {
	c := &recompute{
		Deps: d, name: fmt.Sprintf("%s.%d", RecomputeStage, partition), partition: partition, relay: r,
		writer: d.Store.NewWriter(uint32(partition), d.Catalogs.Newest(), goldstore.WriterConfig{CacheBytes: -1}),
	}
	c.Logger = d.Logger.With("stage", c.name)
	return c
}

func (r *recompute) run(ctx context.Context) error {
	// Another owner of the partition may be at the same work: then the position
	// is not where it was believed to be, and is read again.
	retryable := func(err error) bool {
		return goldstore.IsRetryable(err) || errors.Is(err, goldstore.ErrPositionMoved) ||
			errors.Is(err, goldstore.ErrCatalogBehind)
	}
	for {
		newest := r.Catalogs.Newest()
		err := r.retry(ctx, r.name, retryable, func() error {
			newest = r.Catalogs.Newest()
			return r.follow(ctx)
		})
		if err != nil {
			return lifecycle.Ended(ctx, fmt.Errorf("recompute partition %d: %w", r.partition, err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.Catalogs.Changed(newest.Epoch()):
		}
	}
}

// follow computes anew what is behind the newest epoch.
func (r *recompute) follow(ctx context.Context) error {
	newest, err := r.current(ctx, r.name)
	if err != nil {
		return err
	}
	position, err := r.position(ctx)
	if err != nil || position.Sequence >= newest.Epoch() {
		return err
	}
	ctx, span := r.Tracer.Batch(ctx, "recompute", new(tracing.Origins))
	defer span.End()
	r.writer.SetCatalog(newest)
	if err := r.Store.RequireEpoch(ctx, uint32(r.partition), newest.Epoch()); err != nil {
		return err
	}
	began := time.Now()
	rows, err := r.rows(ctx, newest, newest.ChangedSince(position.Sequence).Folded)
	if err != nil {
		return err
	}
	if rows > 0 {
		span.SetAttributes(attribute.String("energy.worker", r.name), attribute.Int64("energy.epoch", int64(newest.Epoch())),
			attribute.Int("energy.rows.updated", rows))
	}
	_, err = r.writer.Flush(ctx, goldstore.Flush{Move: &goldstore.PositionMove{
		Stage: RecomputeStage, Partition: uint32(r.partition), Stream: position.Stream, Created: position.Created,
		From: position.Sequence, To: newest.Epoch(),
	}})
	if err != nil {
		return err
	}
	r.Logger.InfoContext(ctx, "rows follow the catalogue epoch", "epoch", newest.Epoch(), "rows", rows,
		"seconds", time.Since(began).Seconds())
	return nil
}

// position returns how far the partition has followed. Before it was ever moved
// rows follow the first epoch.
func (r *recompute) position(ctx context.Context) (goldstore.Position, error) {
	p, err := r.Store.LoadPosition(ctx, RecomputeStage, uint32(r.partition))
	if err != nil || p.Stream != "" {
		return p, err
	}
	return r.Store.ResetPosition(ctx, p, broker.BucketCatalog, time.Time{}, 1)
}

// rows computes anew the rows of metrics that are behind, a bounded number at a
// time, and returns how many there were.
func (r *recompute) rows(ctx context.Context, c *catalog.Catalog, metrics []string) (done int, err error) {
	if len(metrics) == 0 {
		return 0, nil
	}
	var series []goldstore.Series
	err = r.Store.Read(ctx, func(tx *goldstore.ReadTx) error {
		series, err = tx.Series(ctx, goldstore.Selector{Metrics: metrics})
		return err
	})
	if err != nil {
		return 0, err
	}
	r.behind = r.behind[:0]
	for _, one := range series {
		if int(reading.Partition(one.EntityID, uint32(r.Partitions))) != r.partition {
			continue
		}
		n, err := r.series(ctx, c, one)
		if done += n; err != nil {
			return done, err
		}
	}
	return done, r.flush(ctx)
}

// series finds the rows of a series that are behind and computes them anew,
// except for a last few that are left for the next flush.
func (r *recompute) series(ctx context.Context, c *catalog.Catalog, one goldstore.Series) (found int, err error) {
	for after := int64(math.MinInt64); ; {
		rows, err := r.Store.Behind(ctx, c, one, after, recomputeRows)
		if err != nil {
			return found, err
		}
		found += len(rows)
		r.behind = append(r.behind, rows...)
		if len(r.behind) >= recomputeRows {
			if err := r.flush(ctx); err != nil {
				return found, err
			}
		}
		if len(rows) < recomputeRows {
			return found, nil
		}
		after = rows[len(rows)-1].Start
	}
}

func (r *recompute) flush(ctx context.Context) error {
	if len(r.behind) == 0 {
		return nil
	}
	tracing.Keep(ctx, tracing.Restatement)
	_, err := r.writer.Flush(ctx, goldstore.Flush{
		Groups: r.behind, Cause: gold.CauseCatalog,
		Feed: func(id int64, changes []gold.Change) (string, []byte, error) {
			return FeedMessage(r.partition, id, changes)
		},
		Headers: func(*goldstore.Result) map[string]string { return tracing.Headers(ctx) },
	})
	r.behind = r.behind[:0]
	r.relay.wake()
	return err
}
