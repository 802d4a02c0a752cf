package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/replay"
)

// Difference is a row in which gold is not what the source gives, or has what it
// cannot give.
type Difference struct {
	Series reading.Series
	Start  int64 // Unix ns
	Width  time.Duration
	What   string
}

// String names the row and says how it differs.
func (d *Difference) String() string {
	return fmt.Sprintf("%s  %s  %s  %s", d.Series, time.Unix(0, d.Start).UTC().Format(time.RFC3339), d.Width, d.What)
}

// bucket compares the rows of a bucket with from ≤ key < to.
func (v *verification) bucket(ctx context.Context, n int, from, to goldstore.RowKey) error {
	windows, middle, err := v.gathered.Load(n, from, to, v.MaxVersions)
	if err != nil {
		return err
	}
	if windows == nil {
		if err := v.bucket(ctx, n, from, middle); err != nil {
			return err
		}
		return v.bucket(ctx, n, middle, to)
	}
	var doubts []doubt
	err = v.tx.Content(ctx, from, to, func(r *goldstore.ContentRow) error {
		w, ok := windows[r.RowKey]
		if !ok {
			w = &replay.Window{Key: gold.Key{Series: r.Series, Start: r.Start, Width: r.Width}}
		}
		delete(windows, r.RowKey)
		v.report.Rows++
		have, err := r.Versions()
		if err != nil {
			v.differs(&w.Key, fmt.Sprintf("is damaged: %v", err))
			return nil
		}
		if len(missing(have, w)) > 0 {
			row := *r
			row.Parts = slices.Clone(r.Parts)
			doubts = append(doubts, doubt{w, &row, have})
			return nil
		}
		return v.row(ctx, r, have, w)
	})
	if err != nil {
		return err
	}
	for _, w := range windows {
		if len(w.Versions[required]) > 0 {
			doubts = append(doubts, doubt{window: w})
		}
	}
	return v.resolve(ctx, doubts)
}

// doubt is a window of which gold does not have all that it must, unless
// gold-aggregator has refused that. There are no more of them than fit into memory:
// each has versions that were gathered.
type doubt struct {
	window *replay.Window
	row    *goldstore.ContentRow // nil: gold has none
	have   []gold.Version
}

// missing returns the places of the versions that gold must hold and does not.
func missing(have []gold.Version, w *replay.Window) (places []int) {
	for i := range w.Versions[required] {
		if find(have, &w.Versions[required][i]) == nil {
			places = append(places, i)
		}
	}
	return places
}

// stampsAtOnce bounds what one statement looks up.
const stampsAtOnce = 10_000

// resolve looks up which versions gold-aggregator has refused, and compares what is in
// doubt then.
func (v *verification) resolve(ctx context.Context, doubts []doubt) error {
	for len(doubts) > 0 {
		var stamps []reading.Stamp
		n := 0
		for ; n < len(doubts) && (n == 0 || len(stamps) < stampsAtOnce); n++ {
			w := doubts[n].window
			for _, i := range missing(doubts[n].have, w) {
				stamps = append(stamps, w.Versions[required][i].Stamp)
			}
		}
		refused, err := v.tx.RefusedStamps(ctx, aggregator.Stage, stamps)
		if err != nil {
			return err
		}
		for i := range doubts[:n] {
			if err := v.settle(ctx, &doubts[i], refused); err != nil {
				return err
			}
		}
		doubts = doubts[n:]
	}
	return nil
}

// settle compares a window in which gold need not hold what was refused. A duplicate
// of that may be there.
func (v *verification) settle(ctx context.Context, d *doubt, refused map[reading.Stamp]struct{}) error {
	w := d.window
	var must, may []gold.Version
	for _, version := range w.Versions[required] {
		if _, ok := refused[version.Stamp]; ok {
			may = append(may, version)
		} else {
			must = append(must, version)
		}
	}
	w.Versions[required], w.Versions[optional] = must, gold.Merge(w.Versions[optional], may)
	switch {
	case d.row != nil:
		return v.row(ctx, d.row, d.have, w)
	case len(must) > 0:
		v.report.Rows++
		v.differs(&w.Key, fmt.Sprintf("is missing, with %s", count(len(must), "version")))
	}
	return nil
}

// row compares a row with what gold must and may hold of its window.
func (v *verification) row(ctx context.Context, r *goldstore.ContentRow, have []gold.Version, w *replay.Window) error {
	expected, gone, err := v.expected(ctx, have, w)
	if err != nil {
		return err
	}
	if gone[removed]+gone[failed] > 0 {
		v.report.Unverifiable++
	}
	if gone[lost] > 0 {
		v.report.Orphans++
		v.Orphan(difference(&w.Key, "has "+count(gone[lost], "version")))
	}
	under, behind := v.under(r, expected)
	want := gold.NewRow(under, w.Key, expected)
	if columns := r.Differences(&want); len(columns) > 0 {
		v.differs(&w.Key, describe(have, expected, columns))
	} else if behind {
		v.report.Behind++ // it will be computed anew, by whoever keeps it
	}
	return nil
}

// under returns the catalogue that a row is computed by: the newest or, of a row that
// need not follow that yet, the earliest that whoever wrote it can have had, which the
// versions tell, and whether that is behind. Since when its winners stand follows from
// when epochs came into force, which is the same whichever are known.
func (v *verification) under(r *goldstore.ContentRow, versions []gold.Version) (c *catalog.Catalog, behind bool) {
	newest := v.history.Catalog()
	folded := newest.Folded(r.Series.Metric)
	if r.Epoch >= folded || v.coverage.live && v.history.Applied >= folded {
		return newest, false
	}
	epoch := r.Epoch
	for i := range versions {
		epoch = max(epoch, versions[i].Epoch)
	}
	earlier, ok := v.history.Epochs.At(epoch)
	if !ok {
		return newest, false
	}
	return earlier.WithHistory(newest.History()), earlier.Folded(r.Series.Metric) < folded
}

// expected returns what the row is to hold: what it must, and of what it may what it
// does. Of versions whose reading the source holds no more nobody knows; they are
// taken as they are, and counted by what became of their messages.
func (v *verification) expected(
	ctx context.Context, have []gold.Version, w *replay.Window,
) (expected []gold.Version, gone [kindsOfOrigin]int, err error) {
	var taken []gold.Version
	for i := range have {
		h := &have[i]
		must, may := find(w.Versions[required], h), find(w.Versions[optional], h)
		switch {
		case must != nil && must.Stamp.Compare(h.Stamp) <= 0: // it says which stamp it is to have
		case may != nil && may.Stamp.Compare(h.Stamp) <= 0:
			taken = append(taken, *h)
		default:
			is, err := v.origins.of(ctx, &w.Key.Series, h)
			if err != nil {
				return nil, gone, err
			}
			if gone[is]++; is != held {
				taken = append(taken, *h)
			}
		}
	}
	return gold.Merge(slices.Clone(w.Versions[required]), taken), gone, nil
}

// find returns the duplicate of a version in a normalized set, nil when there is
// none.
func find(set []gold.Version, v *gold.Version) *gold.Version {
	n, ok := slices.BinarySearchFunc(set, v, func(a gold.Version, b *gold.Version) int { return gold.Compare(&a, b) })
	if !ok {
		return nil
	}
	return &set[n]
}

func (v *verification) differs(k *gold.Key, what string) {
	v.report.Differences++
	v.Differs(difference(k, what))
}

func difference(k *gold.Key, what string) *Difference {
	return &Difference{Series: k.Series, Start: k.Start, Width: k.Width, What: what}
}

// describe says how a row differs.
func describe(have, want []gold.Version, columns []string) string {
	missing, foreign, restamped := 0, 0, 0
	for i := range want {
		if h := find(have, &want[i]); h == nil {
			missing++
		} else if h.Stamp != want[i].Stamp {
			restamped++
		}
	}
	for i := range have {
		if find(want, &have[i]) == nil {
			foreign++
		}
	}
	var said []string
	for _, s := range []struct {
		n    int
		what string
	}{
		{missing, "missing"}, {foreign, "not from the source"}, {restamped, "with another stamp"},
	} {
		if s.n > 0 {
			said = append(said, count(s.n, "version")+" "+s.what)
		}
	}
	return strings.Join(append(said, "differs in "+strings.Join(columns, ", ")), "; ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
