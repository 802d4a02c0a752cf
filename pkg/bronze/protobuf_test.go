package bronze_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

const (
	protobufReading = "application/x-protobuf; proto=energy.v1.Reading"
	protobufBatch   = `application/protobuf;messageType="energy.v1.ReadingBatch"`
)

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sample(entity string, value float64) *energyv1.Reading {
	return &energyv1.Reading{
		EntityId: entity, Metric: "energy.import", Time: timestamppb.New(time.Unix(0, noon)), Value: value, Unit: "kWh",
		Quality: energyv1.Quality_QUALITY_ACTUAL, Revision: 7, Length: durationpb.New(15 * time.Minute),
	}
}

func TestDecodeProtobuf(t *testing.T) {
	t.Parallel()
	want := reading.Reading{
		EntityID: "m1", Metric: "energy.import", Unit: "kWh", Time: noon, Value: 12.5, Revision: 7,
		Length: 15 * time.Minute, Quality: reading.Actual,
	}
	one := marshal(t, sample("m1", 12.5))
	exchange := sample("m1", 12.5)
	exchange.ExchangeStart = new(0.5)
	if got, _ := decode(t, "", marshal(t, exchange)); len(got) != 1 || !got[0].Reading.Exchange ||
		got[0].Reading.ExchangeStart != 0.5 {
		t.Errorf("an exchange is read as %+v", got)
	}
	batch := marshal(t, &energyv1.ReadingBatch{Readings: []*energyv1.Reading{sample("m1", 12.5), sample("m1", 12.5)}})
	for name, c := range map[string]struct {
		contentType string
		payload     []byte
		readings    int
	}{
		"a reading by its declaration":   {protobufReading, one, 1},
		"a reading by its fields":        {"application/x-protobuf", one, 1},
		"a reading without content type": {"", one, 1},
		"a batch by its declaration":     {protobufBatch, batch, 2},
		"a batch by its fields":          {"application/vnd.google.protobuf", batch, 2},
		"a batch without content type":   {"application/octet-stream", batch, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, unknown := decode(t, c.contentType, c.payload)
			if diff := cmp.Diff(slices.Repeat([]outcome{{Reading: want}}, c.readings), got); diff != "" || unknown != 0 {
				t.Errorf("%d unknown fields, %s", unknown, diff)
			}
		})
	}
}

// field appends a field to b.
func field(b []byte, number protowire.Number, kind protowire.Type, value []byte) []byte {
	b = protowire.AppendTag(b, number, kind)
	if kind == protowire.BytesType {
		return protowire.AppendBytes(b, value)
	}
	return append(b, value...)
}

func TestDecodeProtobufFaults(t *testing.T) {
	t.Parallel()
	whole := marshal(t, sample("m1", 12.5))
	for name, c := range map[string]struct {
		reading []byte
		detail  string
	}{
		"no time":                     {marshal(t, &energyv1.Reading{EntityId: "m1"}), "time (3): missing"},
		"an empty reading":            {nil, "time (3): missing"},
		"a reading cut short":         {whole[:len(whole)-1], "cut short"},
		"value as varint":             {field(slices.Clone(whole), 4, protowire.VarintType, []byte{1}), "value (4): wire type varint where fixed64"},
		"time as a group":             {field(slices.Clone(whole), 3, protowire.StartGroupType, []byte{0x1c}), "time (3)"},
		"seconds as bytes":            {field(slices.Clone(whole), 3, protowire.BytesType, []byte{0x0a, 0}), "time (3): wire type bytes"},
		"an entity beyond UTF-8":      {field(slices.Clone(whole), 1, protowire.BytesType, []byte{0xff}), "entity_id (1)"},
		"a field number of 0":         {append(slices.Clone(whole), 0, 0), "damaged"},
		"a field number too great":    {append(slices.Clone(whole), 0x80, 0x80, 0x80, 0x80, 0x10, 0), "damaged"},
		"an unknown quality":          {field(slices.Clone(whole), 6, protowire.VarintType, []byte{5}), "quality (6): 5 is not known"},
		"a negative quality":          {field(slices.Clone(whole), 6, protowire.VarintType, protowire.AppendVarint(nil, math.MaxUint64)), "quality (6): -1"},
		"negative nanos":              {marshal(t, &energyv1.Reading{Time: &timestamppb.Timestamp{Nanos: -1}}), "nanos are -1"},
		"nanos of a second":           {marshal(t, &energyv1.Reading{Time: &timestamppb.Timestamp{Nanos: 1e9}}), "nanos are 1000000000"},
		"a time after 2262":           {marshal(t, &energyv1.Reading{Time: &timestamppb.Timestamp{Seconds: 1e10}}), "1678 to 2262"},
		"a time before 1678":          {marshal(t, &energyv1.Reading{Time: &timestamppb.Timestamp{Seconds: math.MinInt64}}), "1678 to 2262"},
		"a negative length":           {marshal(t, &energyv1.Reading{Time: &timestamppb.Timestamp{}, Length: &durationpb.Duration{Nanos: -1}}), "length (8)"},
		"a length longer than it can": {marshal(t, &energyv1.Reading{Time: &timestamppb.Timestamp{}, Length: &durationpb.Duration{Seconds: 1e10}}), "length (8)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := field(nil, 1, protowire.BytesType, whole)
			payload = field(payload, 1, protowire.BytesType, c.reading)
			payload = field(payload, 1, protowire.BytesType, whole)
			for _, contentType := range []string{protobufBatch, ""} {
				got, _ := decode(t, contentType, payload)
				if len(got) != 3 || got[0].Fault != "" || !strings.Contains(got[1].Fault, c.detail) || got[2].Fault != "" {
					t.Errorf("got %+v, want a fault with %q between readings", got, c.detail)
				}
				if got[1].Payload != string(c.reading) {
					t.Errorf("payload %q, want %q", got[1].Payload, c.reading)
				}
			}
		})
	}
}

func TestDamagedBatch(t *testing.T) {
	t.Parallel()
	whole := field(nil, 1, protowire.BytesType, marshal(t, sample("m1", 12.5)))
	rest := whole[:len(whole)-1]
	got, _ := decode(t, protobufBatch, append(slices.Clone(whole), rest...))
	if summary(got) != "12.5 !"+string(rest) {
		t.Errorf("a batch cut short: %+v", got)
	}
	got, unknown := decode(t, protobufBatch, append([]byte{0x08, 1, 0x50, 1}, whole...))
	if summary(got) != "!\x08\x01 12.5" || unknown != 1 {
		t.Errorf("readings as varint, then an unknown field: %d, %+v", unknown, got)
	}
	got, _ = decode(t, protobufBatch, nil)
	if len(got) != 1 || !strings.Contains(got[0].Fault, "empty") {
		t.Errorf("an empty payload: %+v", got)
	}
}

// TestBatchThatLooksLikeJSON has readings whose length reads as white space or
// an opening bracket.
func TestBatchThatLooksLikeJSON(t *testing.T) {
	t.Parallel()
	for size := range 200 {
		r := &energyv1.Reading{EntityId: "{" + strings.Repeat("x", size), Time: &timestamppb.Timestamp{Seconds: 9}}
		batch := marshal(t, &energyv1.ReadingBatch{Readings: []*energyv1.Reading{r}})
		if f := bronze.FormatOf("", batch); f != bronze.ProtobufBatch {
			t.Errorf("batch %q is %v", batch, f)
		}
		if f := bronze.FormatOf("", marshal(t, r)); f != bronze.Protobuf {
			t.Errorf("reading %q is %v", marshal(t, r), f)
		}
	}
	frame := "\n{" + `"x":"` + strings.Repeat("x", '{'-7) + `"}` // as protobuf, field 1 of '{' bytes
	for _, s := range []string{frame, "\n{}", "\n[", "\n {", "{", "[", "\ufeff{", "\ufeff\n["} {
		if f := bronze.FormatOf("", []byte(s)); f != bronze.JSON {
			t.Errorf("%q is %v", s, f)
		}
	}
}

// sameReading fails unless Decode made of payload what proto.Unmarshal makes
// of it, where that is valid.
func sameReading(t interface{ Fatalf(string, ...any) }, got outcome, unknown int, payload []byte) {
	var m energyv1.Reading
	err := proto.Unmarshal(payload, &m)
	want, valid := expected(&m)
	mistyped, fields := unknownFields(m.ProtoReflect(), 9)
	for _, inner := range []proto.Message{m.GetTime(), m.GetLength()} {
		if inner.ProtoReflect().IsValid() {
			wrong, n := unknownFields(inner.ProtoReflect(), 2)
			mistyped, fields = mistyped || wrong, fields+n
		}
	}
	valid = valid && err == nil && !mistyped
	switch {
	case valid != (got.Fault == ""):
		t.Fatalf("%q: %q, want %+v, %v", payload, got.Fault, want, err)
	case valid && !sameBits(got.Reading, want):
		t.Fatalf("%q: %+v, want %+v", payload, got.Reading, want)
	case valid && unknown != fields:
		t.Fatalf("%q: %d unknown fields, want %d", payload, unknown, fields)
	}
}

// unknownFields counts what proto.Unmarshal set aside and reports whether a
// number up to last is among it: a field of the wrong wire type.
func unknownFields(m protoreflect.Message, last protowire.Number) (mistyped bool, n int) {
	for b := m.GetUnknown(); len(b) > 0; n++ {
		number, _, size := protowire.ConsumeField(b)
		mistyped = mistyped || number <= last
		b = b[size:]
	}
	return mistyped, n
}

// expected is the reading that m stands for.
func expected(m *energyv1.Reading) (reading.Reading, bool) {
	at := m.GetTime().AsTime()
	length := time.Duration(0)
	if m.Length != nil {
		length = m.Length.AsDuration()
	}
	valid := m.Time != nil && m.Time.Nanos >= 0 && m.Time.Nanos < 1e9 && time.Unix(0, at.UnixNano()).Equal(at) &&
		m.Quality >= 0 && m.Quality <= 4 &&
		(m.Length == nil || m.Length.Seconds >= 0 && m.Length.Nanos >= 0 && m.Length.Nanos < 1e9 &&
			time.Duration(m.Length.Seconds) == length/time.Second && time.Duration(m.Length.Nanos) == length%time.Second)
	return reading.Reading{
		EntityID: m.EntityId, Metric: m.Metric, Unit: m.Unit, Time: at.UnixNano(), Value: m.Value,
		Revision: m.Revision, Length: length, Quality: reading.Quality(m.Quality),
		Exchange: m.ExchangeStart != nil, ExchangeStart: m.GetExchangeStart(),
	}, valid
}

func sameBits(a, b reading.Reading) bool {
	if math.Float64bits(a.Value) != math.Float64bits(b.Value) ||
		math.Float64bits(a.ExchangeStart) != math.Float64bits(b.ExchangeStart) {
		return false
	}
	a.Value, b.Value, a.ExchangeStart, b.ExchangeStart = 0, 0, 0, 0
	return a == b
}

// FuzzProtobuf holds Decode equal to proto.Unmarshal, as a Reading and, where
// proto.Unmarshal takes the whole, as a ReadingBatch.
func FuzzProtobuf(f *testing.F) {
	one := marshal(f, sample("m1", 12.5))
	f.Add(one)
	f.Add(marshal(f, &energyv1.ReadingBatch{Readings: []*energyv1.Reading{sample("m1", 12.5), sample("m2", -1)}}))
	f.Add(append(slices.Clone(one), one...))
	f.Add([]byte{0x1a, 0, 0x1a, 2, 8, 1, 0x1a, 2, 0x10, 2, 0x42, 0})
	f.Add([]byte{0x1a, 0, 0x4b, 0x53, 0x54, 0x4c, 0x68, 1})
	f.Add([]byte{0x1a, 11, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0x30, 0x80, 0x80, 0x80, 0x80, 0x20})
	f.Fuzz(func(t *testing.T, payload []byte) { checkProtobuf(t, t, payload) })
}

func checkProtobuf(tb testing.TB, t interface{ Fatalf(string, ...any) }, payload []byte) {
	tb.Helper()
	if len(payload) == 0 {
		return
	}
	got, unknown := decode(tb, protobufReading, payload)
	if len(got) != 1 {
		t.Fatalf("%d outcomes of one reading", len(got))
	}
	sameReading(t, got[0], unknown, payload)
	for _, contentType := range []string{"", "application/protobuf"} {
		decode(tb, contentType, payload)
	}
	got, _ = decode(tb, protobufBatch, payload)
	for b, i := payload, 0; len(b) > 0; {
		number, kind, n := protowire.ConsumeField(b)
		_, _, tag := protowire.ConsumeTag(b)
		switch {
		case n < 0 || !number.IsValid():
			if i != len(got)-1 || got[i].Fault == "" || got[i].Payload != string(b) {
				t.Fatalf("%q: damage is not the last fault: %+v", payload, got)
			}
			return
		case number == 1 && kind == protowire.BytesType:
			inner, _ := protowire.ConsumeBytes(b[tag:])
			alone, unknown := []outcome{got[i]}, 0
			if len(inner) > 0 {
				alone, unknown = decode(tb, protobufReading, inner)
			}
			if !cmp.Equal(alone[0].Fault, got[i].Fault) || !sameBits(alone[0].Reading, got[i].Reading) {
				t.Fatalf("%q: reading %d is %+v, alone %+v", payload, i, got[i], alone[0])
			}
			sameReading(t, got[i], unknown, inner)
			i++
		case number == 1:
			i++
		}
		b = b[n:]
	}
}

func TestProtobufEqualsUnmarshal(t *testing.T) {
	t.Parallel()
	tb := t
	rapid.Check(t, func(t *rapid.T) {
		var payload []byte
		for range rapid.IntRange(1, 12).Draw(t, "fields") {
			payload = append(payload, wireField(0).Draw(t, "field")...)
		}
		checkProtobuf(tb, t, payload)
	})
}

// wireField draws a field, mostly of energy.v1.Reading and of the right type.
func wireField(depth int) *rapid.Generator[[]byte] {
	types := []protowire.Type{2, 2, 2, 1, 2, 0, 0, 2, 1, 0, 5, 3, 2}
	if depth > 0 {
		types = []protowire.Type{0, 0, 0, 5}
	}
	return rapid.Custom(func(t *rapid.T) []byte {
		number := rapid.IntRange(1, len(types)).Draw(t, "number")
		kind := types[number-1]
		if rapid.IntRange(0, 30).Draw(t, "mistype") == 0 {
			kind = protowire.Type(rapid.IntRange(0, 5).Draw(t, "type"))
		}
		b := protowire.AppendTag(nil, protowire.Number(number), kind)
		switch kind {
		case protowire.VarintType:
			v := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 6), rapid.Just(uint64(1<<32+3))).Draw(t, "varint")
			return protowire.AppendVarint(b, v)
		case protowire.Fixed64Type:
			return protowire.AppendFixed64(b, rapid.Uint64().Draw(t, "fixed64"))
		case protowire.Fixed32Type:
			return protowire.AppendFixed32(b, rapid.Uint32().Draw(t, "fixed32"))
		case protowire.StartGroupType:
			return protowire.AppendTag(b, protowire.Number(number), protowire.EndGroupType)
		case protowire.EndGroupType:
			return b
		}
		if number == 3 || number == 8 || depth == 0 && rapid.IntRange(0, 9).Draw(t, "nest") == 0 {
			var inner []byte
			for range rapid.IntRange(0, 3).Draw(t, "inner") {
				inner = append(inner, wireField(depth+1).Draw(t, "field")...)
			}
			return protowire.AppendBytes(b, inner)
		}
		return protowire.AppendBytes(b, rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 4),
			rapid.Just([]byte("kWh"))).Draw(t, "bytes"))
	})
}
