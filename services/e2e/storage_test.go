package e2e_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/services/internal/publish"
	"github.com/energy-platform/energy/services/internal/source"
)

// bytesPerSample is what the versions of the household may cost in Postgres.
const bytesPerSample = 4

// TestASampleTakesFourBytes stores the household, all seven series of a reading
// a minute, and asks Postgres for the size of its versions.
func TestASampleTakesFourBytes(t *testing.T) {
	t.Parallel()
	batches := storedSize(t, publish.DefaultBatchSize)
	t.Logf("in messages of %d readings: %.2f bytes a sample", publish.DefaultBatchSize, batches)
	if batches > bytesPerSample {
		t.Errorf("a sample takes %.2f bytes, want at most %d", batches, bytesPerSample)
	}
	t.Logf("in messages of one reading: %.2f bytes a sample", storedSize(t, 1))
}

// storedSize publishes the household in messages of that many readings, some
// tenths of a millisecond apart, and returns the bytes of its versions a sample.
func storedSize(t *testing.T, perMessage int) (bytes float64) {
	t.Helper()
	url := database(t)
	store, err := goldstore.Open(t.Context(), url, goldstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	writer, groups := store.NewWriter(0, c, goldstore.WriterConfig{}), gold.NewCollector(c)
	flush := func() {
		if _, err := writer.Flush(t.Context(), goldstore.Flush{Groups: groups.Take()}); err != nil {
			t.Fatal(err)
		}
	}
	for series, v := range judgedHousehold(t, c, perMessage) {
		groups.Add(series, v)
		if groups.Len() == 20_000 {
			flush()
		}
	}
	flush()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var samples int
	err = conn.QueryRow(t.Context(), `SELECT sum(count),
		sum(pg_column_size(samples) + pg_column_size(stamps))::float8 / sum(count) FROM gold.base`).Scan(&samples, &bytes)
	if err != nil || samples != householdReadings {
		t.Fatalf("%d samples of %d: %v", samples, householdReadings, err)
	}
	return bytes
}

const householdReadings = 338_933

// judgedHousehold yields the file's readings as silver accepts them.
func judgedHousehold(t *testing.T, c *catalog.Catalog, perMessage int) func(func(reading.Series, gold.Version) bool) {
	t.Helper()
	mapping, err := source.LoadMapping(householdMapping)
	if err != nil {
		t.Fatal(err)
	}
	file, err := source.Open(householdFile, mapping)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(reading.Series, gold.Version) bool) {
		defer func() { _ = file.Close() }()
		random, judge := rand.New(rand.NewPCG(1, 2)), silver.NewJudge(c)
		stamp := reading.Stamp{Received: 1_769_860_800_123_456_789, Sequence: 1000}
		for {
			r, _, err := file.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			j := judge.Bench(r.EntityID, r.Metric, r.Unit).Judge(r, stamp, nil)
			v := gold.Version{
				Time: j.Reading.Time, Value: j.Reading.Value, Length: j.Reading.Length, Epoch: c.Epoch(), Stamp: stamp,
			}
			if !j.Accepted() || !yield(j.Series(), v) {
				t.Fatal(j.Detail)
			}
			if stamp.Index++; int(stamp.Index) == perMessage {
				stamp.Index = 0
				stamp.Sequence++
				stamp.Received += 100_000 + random.Int64N(400_000)
			}
		}
	}
}
