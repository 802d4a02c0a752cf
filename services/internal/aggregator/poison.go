package aggregator

import (
	"context"
	"errors"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/tracing"
	"github.com/energy-platform/energy/pkg/wire"
)

// flush stores a batch. A batch that fails for what its rows hold is bisected until
// those that cannot be stored are found; their readings go to quarantine, and the
// position moves on.
func (a *worker) flush(ctx context.Context, f goldstore.Flush) (result goldstore.Result, err error) {
	result, err = a.tryFlush(ctx, f)
	if !goldstore.IsRowFault(err) {
		return result, err
	}
	tracing.Trouble(ctx, err)
	a.Logger.ErrorContext(ctx, "batch cannot be stored and is bisected", "error", err)
	refused, err := a.isolate(ctx, f, f.Groups)
	if err != nil {
		return result, err
	}
	if err := a.quarantine(ctx); err != nil {
		return result, err
	}
	f.Groups = nil // all that can be stored is
	f.Move.Refused = a.position.Refused
	f.Move.Counts.Out -= refused
	f.Move.Counts.Quarantined += refused
	return a.tryFlush(ctx, f)
}

// tryFlush retries whatever is not known to be lasting: an operator can mend it,
// and until then nothing is given up.
func (a *worker) tryFlush(ctx context.Context, f goldstore.Flush) (result goldstore.Result, err error) {
	retryable := func(err error) bool {
		return ctx.Err() == nil && !goldstore.IsRowFault(err) &&
			!errors.Is(err, goldstore.ErrPositionMoved) && !errors.Is(err, goldstore.ErrCatalogBehind) &&
			!errors.Is(err, goldstore.ErrOtherWindow)
	}
	err = a.retry(ctx, a.name, retryable, func() (err error) {
		result, err = a.writer.Flush(ctx, f)
		return err
	})
	return result, err
}

// isolate stores groups without moving the position, and refuses those that
// cannot be stored. It returns the number of versions that it refused.
func (a *worker) isolate(ctx context.Context, f goldstore.Flush, groups []gold.Group) (refused uint64, err error) {
	if len(groups) == 0 {
		return 0, nil
	}
	f.Move, f.Groups = nil, groups
	_, err = a.tryFlush(ctx, f)
	switch {
	case err == nil:
		return 0, nil
	case !goldstore.IsRowFault(err):
		return 0, err
	case len(groups) == 1:
		a.Count.Poison(ctx)
		return a.refuse(&groups[0], err), nil
	}
	half := len(groups) / 2
	first, err := a.isolate(ctx, f, groups[:half])
	if err != nil {
		return first, err
	}
	second, err := a.isolate(ctx, f, groups[half:])
	return first + second, err
}

// refuse puts the versions of a row that cannot be stored among the refused.
func (a *worker) refuse(g *gold.Group, cause error) uint64 {
	for i := range g.Versions {
		v := &g.Versions[i]
		a.refused.Add(reading.Limit, v.Epoch, Refusal(g, v, cause))
	}
	return uint64(len(g.Versions))
}

// Refusal is that of a version of a row that cannot be stored.
func Refusal(g *gold.Group, v *gold.Version, cause error) wire.Refusal {
	return wire.Refusal{
		Reading: reading.Reading{
			EntityID: g.Series.EntityID, Metric: g.Series.Metric, Unit: g.Series.Unit, Time: v.Time,
			Value: v.Value, Revision: v.Revision, Length: v.Length, Quality: v.Quality,
			Exchange: v.Exchange, ExchangeStart: v.ExchangeStart,
		},
		Stamp: v.Stamp, Rules: v.Flags.With(reading.Limit), Detail: cause.Error(),
	}
}
