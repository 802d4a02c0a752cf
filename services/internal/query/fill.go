package query

import (
	"time"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// filler passes on the windows of a series or group in time order, and fills or
// leaves out those of which nothing is known.
type filler struct {
	fill    energyv1.GapFill
	emit    func(*energyv1.Aggregate) error
	flush   func() error
	last    *energyv1.Aggregate   // of which something is known
	waiting []*energyv1.Aggregate // for the next one of which something is known
}

func (f *filler) add(a *energyv1.Aggregate) error {
	known := a.GetStatistics() != nil
	switch {
	case known:
		if err := f.release(a); err != nil {
			return err
		}
		f.last = a
		return f.emit(a)
	case f.fill == energyv1.GapFill_GAP_FILL_NONE:
		return nil
	case f.fill == energyv1.GapFill_GAP_FILL_LINEAR && f.last != nil:
		f.waiting = append(f.waiting, a)
		return nil
	case f.fill == energyv1.GapFill_GAP_FILL_PREVIOUS && f.last != nil:
		a.Filled = filled(a, f.last.Mean, f.last.MeanPower)
	}
	return f.emit(a)
}

// release emits the windows that waited for the next known one, nil when there is
// none.
func (f *filler) release(next *energyv1.Aggregate) error {
	for _, a := range f.waiting {
		if next != nil {
			from, to := middle(f.last), middle(next)
			share := middle(a).Sub(from).Seconds() / to.Sub(from).Seconds()
			a.Filled = filled(a, between(f.last.Mean, next.Mean, share), between(f.last.MeanPower, next.MeanPower, share))
		}
		if err := f.emit(a); err != nil {
			return err
		}
	}
	f.waiting = nil
	return nil
}

func (f *filler) end() error {
	if err := f.release(nil); err != nil {
		return err
	}
	return f.flush()
}

// filled returns what stands for a window that has that mean and mean power, nil
// when neither is known.
func filled(a *energyv1.Aggregate, mean, power *float64) *energyv1.Filled {
	if mean == nil && power == nil {
		return nil
	}
	out := &energyv1.Filled{Mean: mean}
	if power != nil {
		energy := *power * a.GetEnd().AsTime().Sub(a.GetStart().AsTime()).Hours()
		out.Energy = &energy
	}
	return out
}

func between(a, b *float64, share float64) *float64 {
	if a == nil || b == nil {
		return nil
	}
	v := *a*(1-share) + *b*share
	return &v
}

func middle(a *energyv1.Aggregate) time.Time {
	start, end := a.GetStart().AsTime(), a.GetEnd().AsTime()
	return start.Add(end.Sub(start) / 2)
}
