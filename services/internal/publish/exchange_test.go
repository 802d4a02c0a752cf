package publish_test

import (
	"testing"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/producer"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/publish"
	"github.com/energy-platform/energy/services/internal/source"
)

// A meter at 1000 kWh counts 25 kWh until it is exchanged for one that stands at
// 3 kWh and counts 5 kWh more.
const (
	exchangeNDJSON = `{"entity_id":"m1","metric":"active_energy_import","time":"2026-01-31T12:00:00Z","value":1000}
{"entity_id":"m1","metric":"active_energy_import","time":"2026-01-31T12:10:00Z","value":1025,"exchange_start":3}
{"entity_id":"m1","metric":"active_energy_import","time":"2026-01-31T12:14:00Z","value":8}
`
	exchangeCSV = "at,Wh,new\n" +
		"2026-01-31T12:00:00Z,1000000,\n2026-01-31T12:10:00Z,1025000,3000\n2026-01-31T12:14:00Z,8000,\n"
	exchangeMapping = `
time: {columns: [at], layout: rfc3339}
long: {entity: m1, metric: active_energy_import, value: {column: Wh}, unit: Wh, exchange_start: {column: new}}`
)

func TestAnExchangeOfTheMeterIsPublished(t *testing.T) {
	t.Parallel()
	csv, err := source.ParseMapping([]byte(exchangeMapping))
	if err != nil {
		t.Fatal(err)
	}
	unrecorded := csv
	long := *csv.Long
	long.Exchange, unrecorded.Long = source.Field{}, &long
	for name, c := range map[string]struct {
		file      string
		mapping   source.Mapping
		advance   float64
		exchanges uint64
		last      float64
	}{
		"NDJSON with a record": {file(t, "e.ndjson", exchangeNDJSON), source.Mapping{}, 30, 1, 8},
		"CSV with a record":    {file(t, "e.csv", exchangeCSV), csv, 30, 1, 8},
		"CSV without a record": {file(t, "u.csv", exchangeCSV), unrecorded, 25, 1, 8},
	} {
		for _, format := range []producer.Format{producer.JSON, producer.Protobuf} {
			nc := natstest.Connect(t, natstest.Server(t))
			stream := provision(t, nc, -1)
			options := publish.Options{Conn: nc, Files: []string{c.file}, Mapping: c.mapping, Format: format}
			if _, err := publish.Run(t.Context(), options); err != nil {
				t.Fatal(err)
			}
			var payloads [][2]string
			for _, m := range stored(t, stream) {
				payloads = append(payloads, [2]string{m.Header.Get("Content-Type"), string(m.Data)})
			}
			stats := refined(t, payloads)
			if stats.Advance != c.advance || stats.Exchanges != c.exchanges || stats.Last != c.last || stats.Count != 3 {
				t.Errorf("%s, format %d: %+v, want an advance of %g kWh", name, format, stats, c.advance)
			}
		}
	}
}

// refined takes payloads through bronze and silver to the statistics of gold,
// over the wire between them, as the services do.
func refined(t *testing.T, payloads [][2]string) gold.Partial {
	t.Helper()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	var received wire.BronzeEncoder
	for i, p := range payloads {
		var d bronze.Decoder
		d.Decode(p[0], []byte(p[1]), func(index uint32, r reading.Reading) {
			received.Add(r, reading.Stamp{Received: r.Time, Sequence: uint64(i + 1), Index: index})
		}, func(f bronze.Fault) { t.Error(f.Detail) })
	}
	data, err := received.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b, err := wire.DecodeBronze(data)
	if err != nil {
		t.Fatal(err)
	}
	var judged wire.SilverEncoder
	for row := range b.Rows() {
		r := &row.Reading
		j := silver.NewJudge(c).Bench(r.EntityID, r.Metric, r.Unit).Judge(*r, row.Stamp, row.Waived)
		if !j.Accepted() {
			t.Fatal(j.Detail)
		}
		judged.Add(&j)
	}
	if data, err = judged.Marshal(c.Epoch()); err != nil {
		t.Fatal(err)
	}
	s, err := wire.DecodeSilver(data)
	if err != nil {
		t.Fatal(err)
	}
	groups := gold.NewCollector(c)
	for series, v := range s.Versions() {
		groups.Add(series, v)
	}
	all := groups.Take()
	if len(all) != 1 {
		t.Fatalf("%d rows, want 1", len(all))
	}
	row := gold.NewRow(c, all[0].Key, all[0].Versions)
	return row.Stats
}
