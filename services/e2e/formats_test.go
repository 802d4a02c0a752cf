package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/parquet-go/parquet-go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/publish"
	"github.com/energy-platform/energy/services/internal/source"
)

// fact is a reading as each format can tell it.
type fact struct {
	Entity string  `json:"entity_id"`
	Metric string  `json:"metric"`
	At     string  `json:"time"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`

	time time.Time
}

// formats are those of messages, and of files that become messages.
func formats() map[string]func(t *testing.T, facts []fact) []broker.Message {
	return map[string]func(t *testing.T, facts []fact) []broker.Message{
		"JSON objects": func(_ *testing.T, facts []fact) (messages []broker.Message) {
			for _, o := range objects(facts) {
				messages = append(messages, message("application/json", []byte(o)))
			}
			return messages
		},
		"a JSON array": func(_ *testing.T, facts []fact) []broker.Message {
			return []broker.Message{message("application/json", []byte("["+strings.Join(objects(facts), ",")+"]"))}
		},
		"NDJSON": func(_ *testing.T, facts []fact) []broker.Message {
			return []broker.Message{message("application/x-ndjson", []byte(strings.Join(objects(facts), "\n")))}
		},
		"SenML": func(_ *testing.T, facts []fact) []broker.Message {
			records := make([]string, len(facts))
			for i, f := range facts {
				records[i] = fmt.Sprintf(`{"n":%q,"u":%q,"t":%d.%09d,"v":%s}`, f.Entity+"/"+f.Metric, f.Unit,
					f.time.Unix(), f.time.Nanosecond(), digits(f.Value))
			}
			return []broker.Message{message("application/senml+json", []byte("["+strings.Join(records, ",")+"]"))}
		},
		"protobuf readings": func(t *testing.T, facts []fact) (messages []broker.Message) {
			t.Helper()
			for _, r := range protobuf(facts) {
				messages = append(messages, message("application/x-protobuf; proto=energy.v1.Reading", marshal(t, r)))
			}
			return messages
		},
		"a protobuf batch": func(t *testing.T, facts []fact) []broker.Message {
			t.Helper()
			return []broker.Message{message("application/x-protobuf; proto=energy.v1.ReadingBatch",
				marshal(t, &energyv1.ReadingBatch{Readings: protobuf(facts)}))}
		},
		"CSV": func(t *testing.T, facts []fact) []broker.Message {
			t.Helper()
			text := "at,entity,metric,value,unit\n"
			for _, f := range facts {
				text += strings.Join([]string{f.At, f.Entity, f.Metric, digits(f.Value), f.Unit}, ",") + "\n"
			}
			return published(t, "f.csv", []byte(text), "rfc3339")
		},
		"Parquet": func(t *testing.T, facts []fact) []broker.Message {
			t.Helper()
			type row struct {
				At     int64   `parquet:"at,timestamp(nanosecond)"`
				Entity string  `parquet:"entity,dict"`
				Metric string  `parquet:"metric"`
				Value  float64 `parquet:"value"`
				Unit   *string `parquet:"unit,optional"`
			}
			rows := make([]row, len(facts))
			for i, f := range facts {
				rows[i] = row{At: f.time.UnixNano(), Entity: f.Entity, Metric: f.Metric, Value: f.Value, Unit: &f.Unit}
			}
			var file bytes.Buffer
			if err := parquet.Write(&file, rows); err != nil {
				t.Fatal(err)
			}
			return published(t, "f.parquet", file.Bytes(), "timestamp")
		},
	}
}

func message(contentType string, payload []byte) broker.Message {
	return broker.Message{Header: nats.Header{"Content-Type": []string{contentType}}, Data: payload}
}

func digits(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func objects(facts []fact) []string {
	texts := make([]string, len(facts))
	for i, f := range facts {
		b, _ := json.Marshal(f) // these types never fail
		texts[i] = string(b)
	}
	return texts
}

func protobuf(facts []fact) (readings []*energyv1.Reading) {
	for _, f := range facts {
		readings = append(readings, &energyv1.Reading{
			EntityId: f.Entity, Metric: f.Metric, Unit: f.Unit, Value: f.Value, Time: timestamppb.New(f.time),
		})
	}
	return readings
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// published returns what `energy publish` would send of a file.
func published(t *testing.T, name string, content []byte, layout string) []broker.Message {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	column := func(name string) source.Field { return source.Field{Column: name} }
	var lines bytes.Buffer
	_, err := publish.Preview(t.Context(), publish.Options{Files: []string{path}, Mapping: source.Mapping{
		Time: source.Time{Columns: []string{"at"}, Layout: layout},
		Long: &source.Long{Entity: column("entity"), Metric: column("metric"), Value: column("value"), Unit: column("unit")},
	}}, &lines, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return []broker.Message{message("application/x-ndjson", lines.Bytes())}
}

// version is what a reading contributes to gold, without its stamp.
type version struct {
	Series reading.Series
	Time   int64
	Value  float64
	Flags  string
}

// versions takes messages through ingest and silver.
func versions(t *testing.T, messages []broker.Message) (all []version, refused []string) {
	t.Helper()
	received := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for i := range messages {
		messages[i].Sequence, messages[i].Received = uint64(i+1), received
	}
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	out, err := ingest.NewDecoder(0, 1).Decode(messages)
	if err != nil {
		t.Fatal(err)
	}
	judge := cleaner.New(0, epochs.Only(c))
	for _, m := range out.Messages {
		if m.Subject != broker.BronzeSubject(0) {
			refused = append(refused, refusals(t, m.Data)...)
			continue
		}
		judged, err := judge.Clean(t.Context(), []broker.Message{{Subject: m.Subject, Data: m.Data, Received: received}})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range judged.Messages {
			if m.Subject != broker.SilverSubject(0) {
				refused = append(refused, refusals(t, m.Data)...)
				continue
			}
			batch, err := wire.DecodeSilver(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			for series, v := range batch.Versions() {
				all = append(all, version{Series: series, Time: v.Time, Value: v.Value, Flags: v.Flags.String()})
			}
		}
	}
	byText := func(a, b version) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
	slices.SortFunc(all, byText)
	slices.Sort(refused)
	return all, refused
}

func refusals(t *testing.T, data []byte) (texts []string) {
	t.Helper()
	q, err := wire.DecodeQuarantine(data)
	if err != nil {
		t.Fatal(err)
	}
	for r := range q.Refusals() {
		texts = append(texts, fmt.Sprintf("%s %s: %s", q.Stage, q.Rule, r.Detail))
	}
	return texts
}

// TestFormatsGiveTheSameVersions sends the same readings in every format of
// messages, and as files: they are the same versions, and the same are refused
// for the same reasons.
func TestFormatsGiveTheSameVersions(t *testing.T) {
	t.Parallel()
	kinds := rapid.SampledFrom([][2]string{
		{"active_energy_import", "kWh"}, {"active_energy_import", "Wh"}, {"active_power", "kW"}, {"voltage", "V"},
		{"voltage", "kW"}, {"windspeed", "m/s"}, {"windspeed", "beaufort"},
	})
	one := rapid.Custom(func(r *rapid.T) fact {
		kind := kinds.Draw(r, "kind")
		at := time.Unix(0, rapid.Int64Range(1e18, 1.8e18).Draw(r, "time")).UTC()
		return fact{
			Entity: rapid.SampledFrom([]string{"m1", "m2", "urn:dev:m3"}).Draw(r, "entity"), Metric: kind[0], Unit: kind[1],
			At: at.Format(time.RFC3339Nano), time: at,
			Value: rapid.OneOf(rapid.Float64(), rapid.Float64Range(0, 300)).Draw(r, "value"),
		}
	})
	rapid.Check(t, func(r *rapid.T) {
		facts := rapid.SliceOfN(one, 1, 8).Draw(r, "readings")
		want, refused := versions(t, formats()["JSON objects"](t, facts))
		if len(want)+len(refused) != len(facts) {
			r.Fatalf("of %d readings %d became versions and %d were refused: %q", len(facts), len(want), len(refused), refused)
		}
		for name, write := range formats() {
			got, refusedToo := versions(t, write(t, facts))
			if diff := cmp.Diff(want, got) + cmp.Diff(refused, refusedToo); diff != "" {
				r.Fatalf("%s differs: %s", name, diff)
			}
		}
	})
}
