package generate_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/fleet"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/generate"
)

// small returns a fleet in which everything goes wrong.
func small(t *testing.T) *fleet.Fleet {
	t.Helper()
	c := fleet.Default()
	c.Series, c.Days = 18, 6
	for _, s := range c.Shares.All() {
		*s.Value = min(1, *s.Value*20)
	}
	f, err := fleet.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// formats are both.
var formats = map[string]generate.Format{"json": generate.JSON, "protobuf": generate.Protobuf}

// same makes NaN equal to itself.
func same(r reading.Reading) reading.Reading {
	if math.IsNaN(r.Value) {
		r.Value = -math.MaxFloat64
	}
	return r
}

// TestMessagesCarryTheDeliveries decodes messages as ingest does: each delivery
// comes out as the reading or the fault that it is, in order.
func TestMessagesCarryTheDeliveries(t *testing.T) {
	t.Parallel()
	f := small(t)
	var want []reading.Reading // a fault is an empty one
	for d := range f.Deliveries() {
		want = append(want, same(d.Reading))
	}
	for name, format := range formats {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := decoded(t, f, format); !slices.Equal(want, got) {
				t.Errorf("deliveries differ:\n%.2000s", cmp.Diff(want, got))
			}
		})
	}
}

// decoded returns what messages of 100 hold.
func decoded(t *testing.T, f *fleet.Fleet, format generate.Format) (got []reading.Reading) {
	t.Helper()
	var decoder bronze.Decoder
	most := 0
	for m := range generate.Messages(f, format, 100) {
		before := len(got)
		decoder.Decode(m.ContentType, m.Payload,
			func(_ uint32, r reading.Reading) { got = append(got, same(r)) },
			func(bronze.Fault) { got = append(got, reading.Reading{}) })
		if n := len(got) - before; n != m.Deliveries {
			t.Fatalf("%.300q is %d readings and faults, not %d", m.Payload, n, m.Deliveries)
		}
		most = max(most, m.Deliveries)
	}
	if most != 100 {
		t.Errorf("the greatest message has %d readings, not 100", most)
	}
	return got
}

// TestProtobufIsTheContract decodes with the generated code.
func TestProtobufIsTheContract(t *testing.T) {
	t.Parallel()
	f := small(t)
	readings := uint64(0)
	for m := range generate.Messages(f, generate.Protobuf, 500) {
		if m.ContentType != "application/x-protobuf; proto=energy.v1.ReadingBatch" {
			continue
		}
		var batch energyv1.ReadingBatch
		if err := proto.Unmarshal(m.Payload, &batch); err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.GetReadings() {
			if len(r.ProtoReflect().GetUnknown()) > 0 || !r.GetTime().IsValid() || r.GetUnit() == "" {
				t.Fatalf("%v is no reading", r)
			}
			readings++
		}
	}
	totals := f.Totals()
	if want := totals.Deliveries - totals.Refused(fleet.Ingest, reading.Undecodable); readings != want {
		t.Errorf("%d readings, want %d", readings, want)
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for name, want := range formats {
		if got, err := generate.ParseFormat(name); got != want || err != nil {
			t.Errorf("%s parses as %d: %v", name, got, err)
		}
	}
}

func TestMessagesEndWhenToldSo(t *testing.T) {
	t.Parallel()
	n := 0
	for range generate.Messages(small(t), generate.JSON, 10) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d messages", n)
	}
}

func TestReadMessagesNamesTheFault(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	fmt.Fprint(w, `{"content_type":"application/json","deliveries":1,"payload":""}`+"\n{broken\n")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for m, err := range generate.ReadMessages(&packed) {
		texts = append(texts, fmt.Sprintf("%s %d %v", m.ContentType, len(m.Payload), err))
	}
	want := []string{
		"application/json 0 <nil>",
		" 0 read message 2: invalid character 'b' looking for beginning of object key string",
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("messages differ:\n%s", diff)
	}
}
