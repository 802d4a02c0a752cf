package aggregator

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
)

// known is epochs that a test appends to.
type known struct {
	t   *testing.T
	all catalog.Epochs
}

// add appends an epoch with that base window of site_energy.
func (k *known) add(window string) *catalog.Catalog {
	k.t.Helper()
	at := time.Date(2026, 1, 1, int(k.all.Len()), 0, 0, 0, time.UTC)
	all, err := k.all.Append(at, fmt.Appendf(nil,
		"units: {kWh: {dimension: energy}}\nmetrics: {site_energy: {kind: interval, unit: kWh, length: 5m, window: %s}}", window))
	if err != nil {
		k.t.Fatal(err)
	}
	k.all = all
	return all.Newest()
}

func (k *known) All() catalog.Epochs            { return k.all }
func (k *known) Newest() *catalog.Catalog       { return k.all.Newest() }
func (k *known) Changed(uint64) <-chan struct{} { return nil }

func (k *known) Await(_ context.Context, number uint64) (*catalog.Catalog, error) {
	if k.all.Len() < number {
		return nil, errors.New("awaited in vain")
	}
	return k.Newest(), nil
}

// An epoch may say another window than a metric already has: then nothing is stored,
// it is told, and the batch goes on under the epoch that puts it right.
func TestAnotherWindowIsWaitedOut(t *testing.T) {
	t.Parallel()
	epochs := &known{t: t}
	first := epochs.add("15m")
	d := deps(t)
	d.Catalogs = NewCatalogs(epochs)
	a, f := flusher(t, d.Deps)
	a.relay = newRelay(d.Deps, 0)
	a.position = goldstore.Position{Stream: f.Move.Stream, Created: f.Move.Created}

	at := time.Date(2026, 1, 2, 0, 5, 0, 0, time.UTC).UnixNano()
	judgement := silver.NewJudge(first).Bench("e", "site_energy", "kWh").Judge(reading.Reading{
		EntityID: "e", Metric: "site_energy", Unit: "kWh", Time: at, Value: 7, Length: 5 * time.Minute,
	}, reading.Stamp{Received: at, Sequence: 1}, nil)
	encoder := new(wire.SilverEncoder)
	encoder.Add(&judgement)
	data, err := encoder.Marshal(first.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	batch := &broker.Batch{Messages: []broker.Message{{Data: data, Sequence: 1}}, Last: 1}

	collector := gold.NewCollector(first)
	collector.Add(reading.Series{EntityID: "another", Metric: "site_energy", Unit: "kWh"}, gold.Version{Time: at, Epoch: 1})
	other := d.Store.NewWriter(1, first, goldstore.WriterConfig{})
	if _, err := other.Flush(t.Context(), goldstore.Flush{Groups: collector.Take()}); err != nil {
		t.Fatal(err)
	}
	epochs.add("5m")
	var told []error
	a.Report = func(_ string, trouble error) {
		if told = append(told, trouble); errors.Is(trouble, goldstore.ErrOtherWindow) {
			epochs.add("15m")
		}
	}
	if err := a.mergeUnderNewest(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if a.catalog.Epoch() != 3 || a.position.Sequence != 1 {
		t.Errorf("merged to %d under %s, told %v", a.position.Sequence, a.catalog, told)
	}
	d.counts(t, goldstore.Counts{In: 1, Out: 1}, 0)
}
