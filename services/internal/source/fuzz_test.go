package source_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"

	"github.com/energy-platform/energy/services/internal/source"
)

// FuzzSource reads hostile text: it must end, and every row be counted once.
func FuzzSource(f *testing.F) {
	m, err := source.ParseMapping([]byte(wide))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Date;Time;P;E\n16/12/2006;17:24:00;4.216;0\n")
	f.Add("Date;Time;P;E\n28/10/2007;02:00:00;\"4\n;?")
	f.Add("{\"entity_id\":\"a\"}\n{")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range []source.Mapping{m, {}} {
			s, err := source.OpenReader("f", strings.NewReader(text), 0, m)
			if err != nil {
				continue
			}
			account(t, s)
		}
	})
}

// account reads a source to its end, or to where it cannot be read on.
func account(t *testing.T, s *source.Source) {
	t.Helper()
	defer s.Close()
	var good, bad int64
	for {
		_, _, err := s.Next()
		var row *source.RowError
		if errors.Is(err, io.EOF) {
			break
		}
		switch {
		case err == nil:
			good++
		case errors.As(err, &row):
			bad++
		default:
			return // a gzip, or Parquet
		}
	}
	c := s.Counts()
	if good != c.Readings || bad != c.Bad || good+bad+c.Absent < c.Rows {
		t.Errorf("%d good and %d bad, counted %+v", good, bad, c)
	}
}

// FuzzParquet reads damaged files: they must end, or fail with an error, in
// bounded memory.
func FuzzParquet(f *testing.F) {
	var mappings []source.Mapping
	for _, when := range []string{"layout: timestamp", "layout: timestamp, zone: Europe/Paris", "layout: epoch_s"} {
		m, err := source.ParseMapping([]byte(strings.Replace(longParquet, "layout: timestamp", when, 1)))
		if err != nil {
			f.Fatal(err)
		}
		mappings = append(mappings, m)
	}
	f.Add(parquetFile(f, plain(), plainRows(3)))
	f.Add(parquetFile(f, plain(), plainRows(40), parquet.MaxRowsPerRowGroup(9), parquet.DataPageVersion(1),
		parquet.Compression(&parquet.Snappy)))
	f.Add(parquetFile(f, parquet.Group{
		"at":    parquet.Optional(parquet.Leaf(parquet.Int96Type)),
		"meter": parquet.Optional(parquet.Encoded(parquet.String(), &parquet.RLEDictionary)),
		"value": parquet.Optional(parquet.Decimal(2, 30, parquet.FixedLenByteArrayType(13))),
	}, [][]any{{deprecated.Int96{1, 2, 2460000}, "m1", [13]byte{0xFF}}, {nil, "m1", nil}, {deprecated.Int96{}, nil, [13]byte{1}}},
		parquet.Compression(&parquet.Zstd)))
	f.Add(parquetFile(f, parquet.Group{
		"at": parquet.Date(), "meter": parquet.UUID(), "value": parquet.Leaf(parquet.FloatType),
	}, [][]any{{int32(20000), [16]byte{1}, float32(0.1)}, {int32(math.MinInt32), [16]byte{}, float32(math.Inf(1))}}))
	f.Add([]byte("PAR1\x15\x02\x19\xFC\xFF\xFF\xFF\xFF\x07\x08\x00\x00\x00PAR1")) // a list of 2^31 columns
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, m := range mappings {
			s, err := source.OpenReader("f.parquet", bytes.NewReader(file), 0, m)
			if err == nil {
				account(t, s)
			}
		}
	})
}

// FuzzMapping reads what people write as mappings and columns: what is accepted
// can be read with, and faults are told.
func FuzzMapping(f *testing.F) {
	for _, seed := range []string{wide, long, longParquet, "format: ndjson", "- a", "time: &t {columns: [*t]}",
		"{column: P, entity: {column: m}, metric: active_power, unit: kW}", "{column: [a]}", "delimiter: \"\\xff\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		c, err := source.ParseColumn(document)
		if err == nil {
			_ = source.Mapping{Columns: []source.Column{c}}.Validate()
		}
		m, err := source.ParseMapping([]byte(document))
		if err != nil {
			if err.Error() == "" {
				t.Error("a fault without a word")
			}
			return
		}
		if s, err := source.OpenReader("f", strings.NewReader("a,b,c\n1,2,3\n"), 0, m); err == nil {
			account(t, s)
		}
	})
}
