package wire_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// TestHalvesSayTheSame: what a message says of its rows, its halves say, down to one row.
func TestHalvesSayTheSame(t *testing.T) {
	t.Parallel()
	waiver := &reading.Waiver{
		Rules: reading.Rules(0).With(reading.OutOfRange).With(reading.TimeInFuture), Epoch: 3,
		Decision: reading.Decision{Person: "ann", At: 7, Reason: "by hand"},
	}
	var e wire.BronzeEncoder
	for n := range 7 {
		r := reading.Reading{
			EntityID: []string{"a", "b"}[n%2], Metric: "index", Unit: "kWh", Time: int64(100 - n), Value: float64(n),
			Revision: uint64(n), Exchange: n == 3, Quality: reading.Quality(n % 3),
		}
		if r.Exchange {
			r.ExchangeStart = 5
		}
		stamp := reading.Stamp{Received: int64(n), Sequence: uint64(n / 2), Index: uint32(n % 2)}
		if n%3 == 1 {
			e.Release(r, stamp, waiver)
		} else {
			e.Add(r, stamp)
		}
	}
	data, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	message := new(energyv1.BronzeBatch)
	if err := proto.Unmarshal(data, message); err != nil {
		t.Fatal(err)
	}
	message.Epoch = 9
	if data, err = proto.Marshal(message); err != nil {
		t.Fatal(err)
	}
	type row struct {
		Reading reading.Reading
		Stamp   reading.Stamp
		Waived  *reading.Waiver
	}
	rows := func(data []byte) (*wire.Bronze, []row) {
		b, err := wire.DecodeBronze(data)
		if err != nil {
			t.Fatal(err)
		}
		if b.Epoch() != 9 || !b.Again() {
			t.Errorf("a half is of epoch %d, again: %t", b.Epoch(), b.Again())
		}
		var all []row
		for r := range b.Rows() {
			all = append(all, row{r.Reading, r.Stamp, r.Waived})
		}
		return b, all
	}
	var apart func(data []byte) []row
	apart = func(data []byte) []row {
		b, all := rows(data)
		halves, err := b.Halves()
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 1 && len(halves) == 0 {
			return all
		}
		if len(halves) != 2 {
			t.Fatalf("%d rows have %d halves", len(all), len(halves))
		}
		return slices.Concat(apart(halves[0]), apart(halves[1]))
	}
	_, want := rows(data)
	if diff := cmp.Diff(want, apart(data)); diff != "" {
		t.Errorf("rows by themselves (-want +got):\n%s", diff)
	}
}
