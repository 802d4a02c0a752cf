package publish_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/producer"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/publish"
	"github.com/energy-platform/energy/services/internal/source"
)

const (
	household        = "../../../docs/data/household_power_consumption.txt.gz"
	householdMapping = "../../../docs/data/household.yaml"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	t.Parallel()
	t.Run("PublishesTheHouseholdExactly", func(t *testing.T) {
		t.Parallel()
		m, want := householdReadings(t)
		for name, format := range map[string]producer.Format{"json": producer.JSON, "protobuf": producer.Protobuf} {
			t.Run(name, func(t *testing.T) {
				nc := natstest.Connect(t, natstest.Server(t))
				stream := provision(t, nc, -1)
				got, err := publish.Run(t.Context(), publish.Options{
					Conn: nc, Files: []string{household}, Mapping: m, Format: format,
				})
				if err != nil {
					t.Fatal(err)
				}
				got.Duration, got.Bytes = 0, 0
				if diff := cmp.Diff(publish.Receipt{
					Rows: 48424, Read: 338933, Absent: 35, Published: 338933, Acknowledged: 338933, Messages: 678,
					Stream: "READINGS", FirstSequence: 1, LastSequence: 678,
				}, got); diff != "" {
					t.Error(diff)
				}
				if arrived := decode(t, stored(t, stream)); !slices.Equal(want, arrived) {
					t.Errorf("%d readings arrived, not the %d of the file", len(arrived), len(want))
				}
			})
		}
	})
	t.Run("PublishesBareReadings", func(t *testing.T) {
		t.Parallel()
		path := file(t, "r.ndjson", `{"entity_id":"é\"","metric":"m","time":"2026-01-31T12:00:00.000000001+01:00",`+
			`"value":1e-7,"unit":"kWh","quality":"corrected","revision":18446744073709551615,"length":"PT15M"}`)
		want := []reading.Reading{{EntityID: `é"`, Metric: "m",
			Time:  time.Date(2026, 1, 31, 11, 0, 0, 1, time.UTC).UnixNano(),
			Value: 1e-7, Unit: "kWh", Quality: reading.Corrected, Revision: 1<<64 - 1, Length: 15 * time.Minute}}
		for _, format := range []producer.Format{producer.JSON, producer.Protobuf} {
			nc := natstest.Connect(t, natstest.Server(t))
			stream := provision(t, nc, -1)
			_, err := publish.Run(t.Context(), publish.Options{Conn: nc, Files: []string{path}, Format: format, BatchSize: 1})
			if err != nil {
				t.Fatal(err)
			}
			msgs := stored(t, stream)
			if diff := cmp.Diff(want, decode(t, msgs)); diff != "" {
				t.Error(diff)
			}
			if format == producer.JSON && msgs[0].Data[0] != '{' {
				t.Errorf("the message is %s", msgs[0].Data)
			}
		}
	})
	t.Run("SplitsWhatIsTooLargeForAMessage", func(t *testing.T) {
		t.Parallel()
		nc := natstest.Connect(t, natstest.Server(t))
		stream := provision(t, nc, -1)
		name := strings.Repeat("x", 300<<10)
		var text strings.Builder
		for range 7 {
			fmt.Fprintf(&text, `{"entity_id":%q,"metric":"m","time":"2026-01-31T12:00:00Z","value":1}`+"\n", name)
		}
		fmt.Fprintf(&text, `{"entity_id":%q,"metric":"m","time":"2026-01-31T12:00:00Z","value":1}`+"\n",
			strings.Repeat("y", 950<<10))
		got, err := publish.Run(t.Context(), publish.Options{Conn: nc, Files: []string{file(t, "r.ndjson", text.String())}})
		if !errors.Is(err, publish.ErrBadRows) || got.Bad != 1 || got.Acknowledged != 7 || got.Messages != 4 {
			t.Errorf("%v; receipt:\n%v", err, got)
		}
		if n := len(decode(t, stored(t, stream))); n != 7 {
			t.Errorf("%d readings arrived", n)
		}
	})
	t.Run("LeavesOutBadRowsAndSaysSo", func(t *testing.T) {
		t.Parallel()
		nc := natstest.Connect(t, natstest.Server(t))
		stream := provision(t, nc, -1)
		got, err := publish.Run(t.Context(), publish.Options{
			Conn: nc, Files: []string{file(t, "a.ndjson", line(0)+"{oops\n"+line(1)), file(t, "b.ndjson", line(2))},
		})
		if !errors.Is(err, publish.ErrBadRows) || !strings.Contains(err.Error(), "bad rows were left out: 1") {
			t.Error(err)
		}
		if got.Bad != 1 || len(got.BadRows) != 1 || got.BadRows[0].Line != 2 || got.BadRows[0].File != "a.ndjson" {
			t.Errorf("bad rows %+v", got.BadRows)
		}
		if n := len(decode(t, stored(t, stream))); n != 3 || got.Acknowledged != 3 || got.Rows != 4 {
			t.Errorf("%d readings arrived; receipt:\n%v", n, got)
		}
	})
	t.Run("PublishesWhatStandsBeforeAFaultOfTheFile", func(t *testing.T) {
		t.Parallel()
		packed, err := os.ReadFile(household)
		if err != nil {
			t.Fatal(err)
		}
		m, err := source.LoadMapping(householdMapping)
		if err != nil {
			t.Fatal(err)
		}
		nc := natstest.Connect(t, natstest.Server(t))
		stream := provision(t, nc, -1)
		got, err := publish.Run(t.Context(), publish.Options{
			Conn: nc, Files: []string{file(t, "cut.gz", string(packed[:10000]))}, Mapping: m,
		})
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "cut.gz: read on after line ") {
			t.Error(err)
		}
		n := len(decode(t, stored(t, stream)))
		if n == 0 || int64(n) != got.Read || got.Acknowledged != got.Read {
			t.Errorf("%d readings arrived; receipt:\n%v", n, got)
		}
	})
	t.Run("RefusesWrongOptionsAtOnce", func(t *testing.T) {
		t.Parallel()
		_, err := publish.Run(t.Context(), publish.Options{
			Files: []string{"/nowhere/a.csv", "/nowhere/b.csv"}, Mapping: source.Mapping{Format: "xml"},
			BatchSize: -1, Timeout: -1, Duplicate: 2,
		})
		for _, want := range []string{"/nowhere/a.csv", "/nowhere/b.csv", `format "xml"`,
			"batch size -1", "timeout -1ns", "duplicate 2"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %q: %v", want, err)
			}
		}
	})
}

func TestDisturbance(t *testing.T) {
	t.Parallel()
	nc := natstest.Connect(t, natstest.Server(t))
	stream := provision(t, nc, -1)
	path := file(t, "r.ndjson", lines(2000))
	publishOnce := func(seed uint64) []reading.Reading {
		if err := stream.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := publish.Run(t.Context(), publish.Options{
			Conn: nc, Files: []string{path}, Shuffle: &seed, Duplicate: 0.25,
		})
		if err != nil || got.Read != 2000 || got.Published < 2300 || got.Published > 2700 ||
			got.Acknowledged != got.Published {
			t.Fatalf("%v; receipt:\n%v", err, got)
		}
		return decode(t, stored(t, stream))
	}
	first, again, other := publishOnce(1), publishOnce(1), publishOnce(2)
	if !slices.Equal(first, again) {
		t.Error("one seed gives two orders")
	}
	if slices.Equal(first, other) {
		t.Error("two seeds give one order")
	}
	distinct := map[reading.Reading]int{}
	for _, r := range first {
		distinct[r]++
	}
	if len(distinct) != 2000 {
		t.Errorf("%d distinct readings of 2000", len(distinct))
	}
	for r, n := range distinct {
		if n > 2 {
			t.Errorf("%+v stands %d times", r, n)
		}
	}
}

func TestStandardInput(t *testing.T) {
	t.Parallel()
	nc := natstest.Connect(t, natstest.Server(t))
	stream := provision(t, nc, -1)
	seen, err := nc.SubscribeSync("readings.>")
	if err != nil {
		t.Fatal(err)
	}
	pipe, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan publish.Receipt)
	go func() {
		r, err := publish.Run(ctx, publish.Options{Conn: nc, Files: []string{"-"}, Stdin: pipe})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		done <- r
	}()
	// A reading does not wait for a batch to fill.
	_, _ = io.WriteString(w, line(1))
	if _, err := seen.NextMsg(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	// A writer that says nothing keeps nobody from ending, and what was
	// acknowledged is told.
	cancel()
	got := <-done
	if got.Acknowledged+got.Unconfirmed != 1 || got.Read != 1 {
		t.Errorf("receipt:\n%v", got)
	}
	if n := len(decode(t, stored(t, stream))); n != 1 {
		t.Errorf("%d readings arrived", n)
	}
}
