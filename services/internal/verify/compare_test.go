package verify

import (
	"strings"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/replay"
)

// TestARowThatLostItsVersionsDiffers: a row says of what its statistics are, also where
// the source gives nothing of its window any more.
func TestARowThatLostItsVersionsDiffers(t *testing.T) {
	t.Parallel()
	all, err := catalog.Epochs{}.Append(time.Unix(0, 0), []byte("units: {V: {dimension: voltage}}\nmetrics: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var told []*Difference
	v := verification{
		Config:  Config{Differs: func(d *Difference) { told = append(told, d) }},
		history: &epochs.History{Epochs: all},
	}
	w := replay.Window{Key: gold.Key{Width: time.Hour}}
	row := goldstore.ContentRow{
		RowKey: goldstore.RowKey{Width: time.Hour}, Epoch: 1, Stats: gold.Partial{Count: 2, Sum: 3},
		Parts: []goldstore.EncodedPart{{Width: time.Hour}}, // its parts are gone
	}
	if err := v.row(t.Context(), &row, nil, &w); err != nil || len(told) != 1 || v.report.Differences != 1 {
		t.Errorf("told %v, %+v, %v", told, v.report, err)
	}
}

// TestARowThatIsBehindIsHeldAgainstItsOwnEpoch: that a row is to be computed anew excuses
// what the newest epoch computes otherwise, and nothing else (invariant 21).
func TestARowThatIsBehindIsHeldAgainstItsOwnEpoch(t *testing.T) {
	t.Parallel()
	var all catalog.Epochs
	for _, spike := range []string{"", ", spike: 3", ", spike: 4"} {
		var err error
		all, err = all.Append(time.Unix(int64(all.Len())*1000, 0),
			[]byte("units: {V: {dimension: voltage}}\nmetrics: {u: {kind: gauge, unit: V"+spike+"}}\n"))
		if err != nil {
			t.Fatal(err)
		}
	}
	key := gold.Key{Series: reading.Series{EntityID: "a", Metric: "u", Unit: "V"}, Width: time.Hour}
	versions := func(n int, epoch uint64) (some []gold.Version) {
		for i := range n {
			some = append(some, gold.Version{
				Time: int64(i), Value: float64(i%2) + float64(i/9)*100, Epoch: epoch,
				Stamp: reading.Stamp{Received: 1, Sequence: uint64(i + 1)},
			})
		}
		return gold.Normalize(some)
	}
	addsOne := func(r *goldstore.ContentRow) { r.Stats.Sum++ }
	for name, tt := range map[string]struct {
		stored  []gold.Version
		epoch   uint64 // by which the row is computed
		damage  func(*goldstore.ContentRow)
		applied uint64
		idle    bool // nobody keeps the database
		differs string
	}{
		"it is what its epoch makes of it":              {stored: versions(10, 1), epoch: 1, applied: 2},
		"it is, of the epoch before the newest":         {stored: versions(10, 1), epoch: 2, applied: 2},
		"it is, and nobody keeps it":                    {stored: versions(10, 1), epoch: 1, applied: 3, idle: true},
		"it is, and the newest epoch is applied to all": {stored: versions(10, 1), epoch: 1, applied: 3, differs: "epoch"},
		"a version is missing":                          {stored: versions(9, 1), epoch: 1, applied: 2, differs: "1 version missing"},
		"a version is foreign":                          {stored: versions(11, 1), epoch: 1, applied: 2, differs: "1 version not from"},
		"a version of the newest epoch came since":      {stored: versions(10, 3), epoch: 1, applied: 2, differs: "epoch"},
		"it says it is of an epoch that there never was": {
			stored: versions(10, 1), epoch: 1, applied: 2, differs: "epoch", damage: func(r *goldstore.ContentRow) { r.Epoch = 0 },
		},
		"it says it is of another epoch": {
			stored: versions(10, 1), epoch: 1, applied: 2, differs: "flags", damage: func(r *goldstore.ContentRow) { r.Epoch = 2 },
		},
		"a statistic is not what its epoch makes of it": {
			stored: versions(10, 1), epoch: 1, applied: 2, differs: "differs in sum", damage: addsOne,
		},
		"so it is, and nobody keeps it": {
			stored: versions(10, 1), epoch: 1, applied: 3, idle: true, differs: "differs in sum", damage: addsOne,
		},
		"since when its winners stand is not what it is": {
			stored: versions(10, 1), epoch: 1, applied: 2, differs: "settled",
			damage: func(r *goldstore.ContentRow) { r.Standing.Settled++ },
		},
		"a stamp is another": {
			stored: versions(10, 1), epoch: 1, applied: 2, differs: "stamp",
			damage: func(r *goldstore.ContentRow) { r.Parts[0].Stamps = stampsOf(versions(10, 1), 77) },
		},
	} {
		under, _ := all.At(tt.epoch)
		made := gold.NewRow(under.WithHistory(all.Newest().History()), key, tt.stored)
		row := goldstore.ContentRow{
			RowKey: goldstore.RowKey{Width: time.Hour}, Series: key.Series,
			Stats: made.Stats, Standing: made.Standing, Epoch: made.Epoch,
			Parts: []goldstore.EncodedPart{{
				Width: time.Hour, Samples: gold.AppendSamples(nil, 0, tt.stored), Stamps: gold.AppendStamps(nil, 0, tt.stored),
			}},
		}
		if tt.damage != nil {
			tt.damage(&row)
		}
		have, err := row.Versions()
		if err != nil {
			t.Fatal(err)
		}
		w := replay.Window{Key: key}
		w.Versions[required] = versions(10, tt.stored[0].Epoch)
		var told []string
		v := verification{
			Config:   Config{Layer: replay.Readings, Differs: func(d *Difference) { told = append(told, d.What) }},
			history:  &epochs.History{Epochs: all, Applied: tt.applied},
			coverage: coverage{live: !tt.idle},
			origins: origins{layer: replay.Readings, partitions: 1, streams: map[string]broker.StreamStatus{
				broker.StreamReadings: {FirstSequence: 1, LastSequence: 99},
			}, known: make(map[message]origin)},
		}
		for i := range have {
			s := have[i].Stamp
			v.origins.known[message{s.Stream, s.Sequence, s.Received}] = held
		}
		if err := v.row(t.Context(), &row, have, &w); err != nil {
			t.Fatal(err)
		}
		wrong := tt.differs != ""
		if wrong != (len(told) == 1 && strings.Contains(told[0], tt.differs)) || (v.report.Behind == 1) == wrong {
			t.Errorf("%s: told %q, %+v", name, told, v.report)
		}
	}
}

// stampsOf encodes versions with the first one's stamp changed.
func stampsOf(versions []gold.Version, sequence uint64) []byte {
	versions[0].Stamp.Sequence = sequence
	return gold.AppendStamps(nil, 0, versions)
}
