package wire_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// stamped is a reading with its stamp.
type stamped struct {
	Reading reading.Reading
	Stamp   reading.Stamp
}

func anyStamped() *rapid.Generator[stamped] {
	return rapid.Custom(func(t *rapid.T) stamped {
		exchange := rapid.Bool().Draw(t, "exchange")
		start := 0.0
		if exchange {
			start = rapid.Float64().Draw(t, "start")
		}
		return stamped{
			Reading: reading.Reading{
				EntityID: rapid.SampledFrom([]string{"", "a", "b", "ü"}).Draw(t, "entity"),
				Metric:   rapid.SampledFrom([]string{"active_power", "active_energy_import", "x"}).Draw(t, "metric"),
				Unit:     rapid.SampledFrom([]string{"", "kW", "W", "kWh", "Wh", "furlong"}).Draw(t, "unit"),
				Time:     rapid.Int64().Draw(t, "time"),
				Value:    rapid.Float64().Draw(t, "value"),
				Revision: rapid.Uint64().Draw(t, "revision"),
				Length:   time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "length")),
				Quality:  reading.Quality(rapid.IntRange(0, 4).Draw(t, "quality")),
				Exchange: exchange, ExchangeStart: start,
			},
			Stamp: goldtest.Stamp().Draw(t, "stamp"),
		}
	})
}

func TestBronzeRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var e wire.BronzeEncoder
		for range 2 { // an encoder may be used again
			want := rapid.SliceOf(anyStamped()).Draw(t, "readings")
			for _, s := range want {
				e.Add(s.Reading, s.Stamp)
			}
			size := e.Size()
			data, err := e.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > size+64 {
				t.Fatalf("%d bytes, Size said %d", len(data), size)
			}
			batch, err := wire.DecodeBronze(data)
			if err != nil {
				t.Fatal(err)
			}
			var got []stamped
			for row := range batch.Rows() {
				got = append(got, stamped{row.Reading, row.Stamp})
			}
			if !slices.Equal(got, want) {
				t.Fatal(cmp.Diff(want, got))
			}
		}
	})
}

// TestSilverRoundTrip takes judgements over the wire and back as versions.
func TestSilverRoundTrip(t *testing.T) {
	t.Parallel()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	judge := silver.NewJudge(c)
	rapid.Check(t, func(t *rapid.T) {
		var e wire.SilverEncoder
		type row struct {
			Series  reading.Series
			Version gold.Version
		}
		var want []row
		for _, s := range rapid.SliceOf(anyStamped()).Draw(t, "readings") {
			r := &s.Reading
			r.Time = s.Stamp.Received - rapid.Int64Range(0, int64(time.Hour)).Draw(t, "age")
			j := judge.Bench(r.EntityID, r.Metric, r.Unit).Judge(*r, s.Stamp, nil)
			if !j.Accepted() {
				continue
			}
			e.Add(&j)
			want = append(want, row{j.Series(), gold.Version{
				Time: j.Reading.Time, Value: j.Reading.Value, Revision: r.Revision, Length: j.Reading.Length,
				Flags: j.Flags, Epoch: c.Epoch(), Quality: r.Quality, Stamp: s.Stamp,
				Exchange: r.Exchange, ExchangeStart: j.Reading.ExchangeStart,
			}})
		}
		data, err := e.Marshal(c.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		batch, err := wire.DecodeSilver(data)
		if err != nil {
			t.Fatal(err)
		}
		var got []row
		for series, version := range batch.Versions() {
			got = append(got, row{series, version})
		}
		if !slices.Equal(got, want) {
			t.Fatal(cmp.Diff(want, got))
		}
	})
}

func TestQuarantineRoundTrip(t *testing.T) {
	t.Parallel()
	var e wire.QuarantineEncoder
	want := []wire.Refusal{
		{
			Reading: reading.Reading{EntityID: "a", Metric: "voltage", Unit: "kW", Time: 5, Value: 1},
			Stamp:   reading.Stamp{Received: 9, Sequence: 1, Index: 3},
			Rules:   reading.Rules(0).With(reading.UnitMismatch), Detail: "not a voltage",
		},
		{
			Stamp: reading.Stamp{Received: 9, Sequence: 2},
			Rules: reading.Rules(0).With(reading.Undecodable), Detail: "cut short", Payload: []byte("{"),
		},
	}
	for _, r := range want {
		e.Add(r)
	}
	data, err := e.Marshal("ingest", reading.Undecodable, 7)
	if err != nil {
		t.Fatal(err)
	}
	q, err := wire.DecodeQuarantine(data)
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Collect(q.Refusals())
	got[0].Payload = nil // absent and empty are one on the wire
	if diff := cmp.Diff(want, got); diff != "" || q.Stage != "ingest" || q.Rule != "undecodable" || q.Epoch != 7 {
		t.Errorf("%s %s %d:\n%s", q.Stage, q.Rule, q.Epoch, diff)
	}
}

func TestExchangesOutOfPlace(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]*energyv1.Exchanges{
		"a row too many":    {Row: []uint32{2}, Start: []float64{1}},
		"a row twice":       {Row: []uint32{1, 1}, Start: []float64{1, 2}},
		"rows that descend": {Row: []uint32{1, 0}, Start: []float64{1, 2}},
		"a start too few":   {Row: []uint32{0, 1}, Start: []float64{1}},
		"a start too many":  {Start: []float64{1}},
	} {
		data, err := proto.Marshal(&energyv1.BronzeBatch{
			Series: []*energyv1.SeriesKey{{}}, SeriesIndex: []uint32{0, 0}, TimeDeltaNs: []int64{0, 0}, Value: []float64{0, 0},
			Stamps: &energyv1.Stamps{
				ReceivedDeltaNs: []int64{0}, Stream: []uint32{0}, SequenceDelta: []int64{0},
				Rows: []uint32{2}, IndexDelta: []int32{0, 1},
			},
			Exchanges: e,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wire.DecodeBronze(data); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// addSeeds adds a message of each kind that is not bronze.
func addSeeds(f *testing.F) {
	f.Helper()
	var clean wire.SilverEncoder
	clean.Add(&silver.Judgement{
		Reading: reading.Reading{EntityID: "a", Metric: "m", Unit: "V", Time: 1, Value: 2, Quality: reading.Corrected},
		Stamp:   reading.Stamp{Sequence: 4}, Waived: true, Released: 9,
	})
	var refused wire.QuarantineEncoder
	refused.Add(wire.Refusal{Detail: "why", Payload: []byte("what"), Stamp: reading.Stamp{Sequence: 4, Index: 1}})
	accepted, err := clean.Marshal(3)
	quarantine, refusedErr := refused.Marshal("ingest", reading.Undecodable, 3)
	changes, changesErr := proto.Marshal(&energyv1.GoldChanges{Changes: []*energyv1.GoldChange{{StartNs: 5, WidthNs: 6}}})
	if err := errors.Join(err, refusedErr, changesErr); err != nil {
		f.Fatal(err)
	}
	refused.Resolve(reading.Stamp{Sequence: 4, Index: 1}, reading.Decision{Person: "ann", At: 7, Reason: "why"})
	resolved, err := refused.MarshalResolved("silver", reading.Released, 3)
	if err != nil {
		f.Fatal(err)
	}
	for _, data := range [][]byte{accepted, quarantine, resolved, changes} {
		f.Add(data)
	}
}

// FuzzDecode feeds every decoder the same bytes: none may panic, and reading
// all rows of what was decoded must work.
func FuzzDecode(f *testing.F) {
	var bronze wire.BronzeEncoder
	bronze.Add(reading.Reading{EntityID: "a", Metric: "m", Time: 1, Value: 2, Revision: 3}, reading.Stamp{Sequence: 4, Index: 2})
	bronze.Add(reading.Reading{EntityID: "b", Metric: "m", Time: 2, Value: 2, Exchange: true, ExchangeStart: 1}, reading.Stamp{Sequence: 4, Index: 3})
	data, err := bronze.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{0x12, 0x01, 0x05})
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		check := func(err error) bool {
			if err != nil && !errors.Is(err, wire.ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return err == nil
		}
		rows := 0
		if b, err := wire.DecodeBronze(data); check(err) {
			for range b.Rows() {
				rows++
			}
			if rows != b.Len() {
				t.Fatalf("%d rows of %d", rows, b.Len())
			}
		}
		if s, err := wire.DecodeSilver(data); check(err) {
			for range s.Versions() {
				rows++
			}
		}
		if q, err := wire.DecodeQuarantine(data); check(err) {
			for range q.Refusals() {
				rows++
			}
			for range q.Resolved() {
				rows++
			}
		}
		_, err := wire.DecodeChanges(data)
		check(err)
	})
}
