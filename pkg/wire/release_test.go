package wire_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// TestReleasesTravel takes a release through bronze and silver.
func TestReleasesTravel(t *testing.T) {
	t.Parallel()
	rules := reading.Rules(0).With(reading.OutOfRange).With(reading.TimeInFuture)
	waiver := &reading.Waiver{Rules: rules, Epoch: 3, Decision: reading.Decision{Person: "ann", At: 7, Reason: "by hand"}}
	r := reading.Reading{EntityID: "m", Metric: "voltage", Unit: "V", Time: 5, Value: 900}
	stamp := reading.Stamp{Received: 6, Sequence: 2, Index: 1}
	var e wire.BronzeEncoder
	e.Release(r, stamp, waiver)
	e.Release(r, stamp, nil)
	data, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b, err := wire.DecodeBronze(data)
	if err != nil {
		t.Fatal(err)
	}
	rows := slices.Collect(b.Rows())
	want := []wire.BronzeRow{{Reading: r, Stamp: stamp, Waived: waiver}, {Reading: r, Stamp: stamp}}
	if diff := cmp.Diff(want, rows); diff != "" || !b.Again() {
		t.Errorf("again %t (-want +got):\n%s", b.Again(), diff)
	}

	var s wire.SilverEncoder
	s.Add(&silver.Judgement{Reading: r, Stamp: stamp})
	s.Add(&silver.Judgement{Reading: r, Stamp: stamp, Waived: true, Released: 7})
	if data, err = s.Marshal(3); err != nil {
		t.Fatal(err)
	}
	judged, err := wire.DecodeSilver(data)
	if err != nil {
		t.Fatal(err)
	}
	var released []int64
	for _, v := range judged.Versions() {
		released = append(released, v.Released)
	}
	if diff := cmp.Diff([]int64{0, 7}, released); diff != "" {
		t.Errorf("times of release (-want +got):\n%s", diff)
	}

	e.Add(r, stamp)
	if data, err = e.Marshal(); err != nil {
		t.Fatal(err)
	}
	if b, err = wire.DecodeBronze(data); err != nil || b.Again() || slices.Collect(b.Rows())[0].Waived != nil {
		t.Errorf("a waiver stays in the encoder: %v", err)
	}
}

// TestWaiversOfOneRowAreOne: who gave the last one let the reading pass.
func TestWaiversOfOneRowAreOne(t *testing.T) {
	t.Parallel()
	batch := &energyv1.BronzeBatch{
		Series: []*energyv1.SeriesKey{{}}, SeriesIndex: []uint32{0}, TimeDeltaNs: []int64{0}, Value: []float64{0},
		Stamps: &energyv1.Stamps{
			ReceivedDeltaNs: []int64{0}, Stream: []uint32{0}, SequenceDelta: []int64{0},
			Rows: []uint32{1}, IndexDelta: []int32{0},
		},
		Waivers: []*energyv1.Waiver{
			{Rule: "out_of_range", Epoch: 1, Person: "ann", ReleasedAtNs: 7},
			{Rule: "time_in_future", Epoch: 2, Person: "bob", ReleasedAtNs: 9},
			{Rule: "expectation", Epoch: 1, Person: "cid", ReleasedAtNs: 8},
		},
	}
	data, err := proto.Marshal(batch)
	if err != nil {
		t.Fatal(err)
	}
	b, err := wire.DecodeBronze(data)
	if err != nil {
		t.Fatal(err)
	}
	want := &reading.Waiver{
		Rules:    reading.Rules(0).With(reading.OutOfRange).With(reading.TimeInFuture).With(reading.Expectation),
		Epoch:    2,
		Decision: reading.Decision{Person: "bob", At: 9},
	}
	for row := range b.Rows() {
		if diff := cmp.Diff(want, row.Waived); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// TestResolutionsTravel has what became of readings, which is no refusal.
func TestResolutionsTravel(t *testing.T) {
	t.Parallel()
	stamps := []reading.Stamp{{Received: 6, Sequence: 2, Index: 1}, {Received: 9, Sequence: 3}}
	decisions := []reading.Decision{{Person: "ann", At: 7, Reason: "by hand"}, {}}
	var e wire.QuarantineEncoder
	for i := range stamps {
		e.Resolve(stamps[i], decisions[i])
	}
	data, err := e.MarshalResolved("silver", reading.Released, 3)
	if err != nil {
		t.Fatal(err)
	}
	q, err := wire.DecodeQuarantine(data)
	if err != nil {
		t.Fatal(err)
	}
	if q.Stage != "silver" || q.Epoch != 3 || q.Resolution != reading.Released || q.Len() != 2 {
		t.Errorf("%+v", q)
	}
	i := 0
	for stamp, decision := range q.Resolved() {
		if stamp != stamps[i] || decision != decisions[i] {
			t.Errorf("row %d is %+v %+v", i, stamp, decision)
		}
		i++
	}
	if i != 2 || len(slices.Collect(q.Refusals())) != 0 {
		t.Errorf("%d rows, and refusals beside them", i)
	}
	e.Add(wire.Refusal{Stamp: stamps[0], Detail: "why"})
	if data, err = e.Marshal("silver", reading.OutOfRange, 3); err != nil {
		t.Fatal(err)
	}
	if q, err = wire.DecodeQuarantine(data); err != nil || len(slices.Collect(q.Refusals())) != 1 {
		t.Errorf("decisions stay in the encoder: %v", err)
	}
}
