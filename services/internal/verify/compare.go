package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/replay"
)

// Difference is a row in which gold is not what the source gives.
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
	err = v.tx.Content(ctx, from, to, func(r *goldstore.ContentRow) error {
		w, ok := windows[r.RowKey]
		if !ok {
			w = &replay.Window{Key: gold.Key{Series: r.Series, Start: r.Start, Width: r.Width}}
		}
		delete(windows, r.RowKey)
		v.report.Rows++
		v.row(r, w)
		return nil
	})
	if err != nil {
		return err
	}
	for _, w := range windows {
		if len(w.Versions[required]) > 0 {
			v.report.Rows++
			v.differs(&w.Key, fmt.Sprintf("is missing, with %s", count(len(w.Versions[required]), "version")))
		}
	}
	return nil
}

// row compares a row with what gold must and may hold of its window.
func (v *verification) row(r *goldstore.ContentRow, w *replay.Window) {
	have, err := r.Versions()
	if err != nil {
		v.differs(&w.Key, fmt.Sprintf("is damaged: %v", err))
		return
	}
	if len(have) == 0 && len(w.Versions[required]) == 0 {
		return // emptied by a rebuild
	}
	expected, unheld := v.expected(have, w)
	if unheld > 0 {
		v.report.Unverifiable++
	}
	want := gold.NewRow(v.history.Catalog(), w.Key, expected)
	columns := r.Differences(&want)
	if len(columns) == 0 {
		return
	}
	if r.Epoch < want.Epoch && v.history.Applied < want.Epoch {
		v.report.Behind++ // it will be computed anew
		return
	}
	v.differs(&w.Key, describe(have, expected, columns))
}

// expected returns what the row is to hold: what it must, and of what it may what it
// does. Of versions whose reading the source holds no more nobody knows; they are
// taken as they are, and counted.
func (v *verification) expected(have []gold.Version, w *replay.Window) (expected []gold.Version, unheld int) {
	expected = slices.Clone(w.Versions[required])
	var taken []gold.Version
	for i := range have {
		h := &have[i]
		must, may := find(w.Versions[required], h), find(w.Versions[optional], h)
		switch {
		case must != nil && must.Stamp == h.Stamp:
		case may != nil && may.Stamp.Compare(h.Stamp) <= 0 && (must == nil || h.Stamp.Compare(must.Stamp) < 0):
			taken = append(taken, *h)
		case v.held(h.Stamp):
		case must == nil || h.Stamp.Compare(must.Stamp) < 0:
			taken = append(taken, *h)
			unheld++
		}
	}
	return gold.Merge(expected, taken), unheld
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
	v.Differs(&Difference{Series: k.Series, Start: k.Start, Width: k.Width, What: what})
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
