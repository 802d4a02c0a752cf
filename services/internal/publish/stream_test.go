package publish_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/source"
)

// provision makes a READINGS stream that refuses what is above maxBytes.
func provision(t *testing.T, nc *nats.Conn, maxBytes int64) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "READINGS", Subjects: []string{"readings.>"}, MaxBytes: maxBytes, Discard: jetstream.DiscardNew,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stored returns the messages of a stream.
func stored(t *testing.T, s jetstream.Stream) (msgs []*jetstream.RawStreamMsg) {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := info.State.FirstSeq
	for i := range info.State.Msgs {
		m, err := s.GetMsg(t.Context(), first+i)
		if err != nil {
			t.Fatal(err)
		}
		msgs = append(msgs, m)
	}
	return msgs
}

// wireReading is a reading as JSON, decoded without the product's code.
type wireReading struct {
	EntityID string    `json:"entity_id"`
	Metric   string    `json:"metric"`
	Time     time.Time `json:"time"`
	Value    float64   `json:"value"`
	Unit     string    `json:"unit"`
	Quality  string    `json:"quality"`
	Revision uint64    `json:"revision"`
	Length   string    `json:"length"`
}

func (w wireReading) reading(t *testing.T) reading.Reading {
	t.Helper()
	r := reading.Reading{EntityID: w.EntityID, Metric: w.Metric, Time: w.Time.UnixNano(), Value: w.Value,
		Unit: w.Unit, Revision: w.Revision}
	r.Quality = map[string]reading.Quality{"": 0, "actual": 1, "estimated": 2, "corrected": 3, "withdrawn": 4}[w.Quality]
	if w.Length != "" {
		var err error
		if r.Length, err = time.ParseDuration(w.Length); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// decode returns the readings of messages, as their content types say.
func decode(t *testing.T, msgs []*jetstream.RawStreamMsg) (readings []reading.Reading) {
	t.Helper()
	for _, m := range msgs {
		var objects []wireReading
		var batch energyv1.ReadingBatch
		var err error
		switch kind := m.Header.Get("Content-Type"); kind {
		case "application/json":
			if m.Data[0] == '{' {
				objects = make([]wireReading, 1)
				err = json.Unmarshal(m.Data, &objects[0])
			} else {
				err = json.Unmarshal(m.Data, &objects)
			}
		case "application/x-protobuf; proto=energy.v1.Reading":
			batch.Readings = []*energyv1.Reading{{}}
			err = proto.Unmarshal(m.Data, batch.Readings[0])
		case "application/x-protobuf; proto=energy.v1.ReadingBatch":
			err = proto.Unmarshal(m.Data, &batch)
		default:
			t.Fatalf("content type %q", kind)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			readings = append(readings, o.reading(t))
		}
		for _, p := range batch.Readings {
			readings = append(readings, reading.Reading{
				EntityID: p.EntityId, Metric: p.Metric, Time: p.Time.AsTime().UnixNano(), Value: p.Value, Unit: p.Unit,
				Quality: reading.Quality(p.Quality), Revision: p.Revision, Length: p.Length.AsDuration(),
			})
		}
	}
	return readings
}

// householdReadings reads the file that ships with the repository.
func householdReadings(t *testing.T) (source.Mapping, []reading.Reading) {
	t.Helper()
	m, err := source.LoadMapping(householdMapping)
	if err != nil {
		t.Fatal(err)
	}
	s, err := source.Open(household, m)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var readings []reading.Reading
	for {
		r, _, err := s.Next()
		if errors.Is(err, io.EOF) {
			return m, readings
		}
		if err != nil {
			t.Fatal(err)
		}
		readings = append(readings, r)
	}
}

// line is reading n as NDJSON.
func line(n int) string {
	return fmt.Sprintf(`{"entity_id":"m%d","metric":"voltage","time":"2026-01-31T12:00:00Z","value":%d}`+"\n", n%7, n)
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i))
	}
	return b.String()
}
