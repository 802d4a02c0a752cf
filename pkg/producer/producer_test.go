package producer_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/localnats"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/producer"
	"github.com/energy-platform/energy/pkg/reading"
)

func isUnconfirmed(err error) bool { return errors.Is(err, producer.ErrUnconfirmed) }

// TestReceiptsAreTrue is the promise: whatever calls, sizes and bounds, every reading
// whose receipt says stored is in the stream exactly there, and all others are wrong
// (invariant 16).
func TestReceiptsAreTrue(t *testing.T) {
	t.Parallel()
	js := provisioned(t, 0)
	base, seen := 0, uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		p, stop := start(t, js, producer.Options{
			MaxReadings: rapid.IntRange(2, 20).Draw(rt, "max readings"),
			MaxBytes:    rapid.IntRange(150, 2000).Draw(rt, "max bytes"),
			Buffer:      rapid.IntRange(1000, 20_000).Draw(rt, "buffer"),
			Linger:      time.Duration(rapid.IntRange(1, 2_000_000).Draw(rt, "linger")),
		})
		type call struct {
			readings []reading.Reading
			receipt  *producer.Receipt
			wrong    int
		}
		var calls []call
		for range rapid.IntRange(1, 10).Draw(rt, "calls") {
			n := rapid.IntRange(0, 40).Draw(rt, "readings")
			c := call{readings: run(base, base+n)}
			base += n
			for i := range c.readings {
				if rapid.IntRange(0, 9).Draw(rt, "wrong") == 0 {
					c.readings[i].EntityID = ""
					c.wrong++
				}
			}
			c.receipt = p.Publish(patient(t), c.readings...)
			calls = append(calls, c)
			if rapid.Bool().Draw(rt, "flush") {
				if err := p.Flush(patient(t)); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if err := stop(); err != nil {
			rt.Fatal(err)
		}
		all := stored(t, js, seen)
		seen += uint64(len(all))
		for _, c := range calls {
			found, refused := truthful(t, c.receipt, c.readings, all)
			if refused != c.wrong || found != len(c.readings)-c.wrong {
				rt.Fatalf("%d of %d stored, %d refused of %d wrong", found, len(c.readings), refused, c.wrong)
			}
		}
	})
}

func TestPublish(t *testing.T) {
	t.Parallel()
	t.Run("ServesManyCallers", func(t *testing.T) {
		t.Parallel()
		js := provisioned(t, 0)
		p, stop := start(t, js, producer.Options{MaxReadings: 50, Buffer: 30_000})
		const callers, calls, each = 8, 40, 10
		receipts := make([][]*producer.Receipt, callers)
		done := make(chan int)
		for c := range callers {
			go func() {
				for k := range calls {
					from := (c*calls + k) * each
					receipts[c] = append(receipts[c], p.Publish(t.Context(), run(from, from+each)...))
				}
				done <- c
			}()
		}
		for range callers {
			<-done
		}
		if err := p.Flush(patient(t)); err != nil {
			t.Fatal(err)
		}
		all := stored(t, js, 0)
		for c := range callers {
			for k, receipt := range receipts[c] {
				from := (c*calls + k) * each
				if found, _ := truthful(t, receipt, run(from, from+each), all); found != each {
					t.Errorf("call %d of caller %d: %d stored", k, c, found)
				}
			}
		}
		stats := p.Stats()
		if stats.Stored != callers*calls*each || stats.Readings != stats.Stored || stats.Messages != int64(len(all)) ||
			len(all) > callers*calls*each/10 {
			t.Errorf("%+v for %d messages", stats, len(all))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	t.Run("KeepsTheOrder", func(t *testing.T) {
		t.Parallel()
		js := provisioned(t, 0)
		p, stop := start(t, js, producer.Options{MaxReadings: 3, Linger: time.Hour})
		for n := range 100 {
			p.Publish(t.Context(), numbered(n))
		}
		if err := stop(); err != nil { // sends what is left
			t.Fatal(err)
		}
		all := stored(t, js, 0)
		n := 0
		for sequence := range uint64(len(all)) {
			for _, m := range all[sequence+1] {
				if m.Value != float64(n) {
					t.Fatalf("reading %d stands where %d belongs", int(m.Value), n)
				}
				n++
			}
		}
		if n != 100 || len(all) != 34 {
			t.Errorf("%d readings in %d messages", n, len(all))
		}
	})
	t.Run("RefusesWhatIsWrongAtOnce", func(t *testing.T) {
		t.Parallel()
		js := connect(t, natstest.Server(t, func(o *localnats.Options) {
			o.Configure = func(so *server.Options) { so.MaxPayload = 2 << 10 }
		}).URL())
		provision(t, js, 0)
		p, _ := start(t, js, producer.Options{Linger: time.Hour})
		loose, _ := start(t, js, producer.Options{Linger: time.Hour, Unchecked: true})
		cases := map[string]struct {
			change func(*reading.Reading)
			says   string
			passes bool // unchecked
		}{
			"no entity":           {func(r *reading.Reading) { r.EntityID = "" }, "entity_id is missing", true},
			"no metric":           {func(r *reading.Reading) { r.Metric = "" }, "metric is missing", true},
			"no number":           {func(r *reading.Reading) { r.Value = math.NaN() }, "value is NaN", true},
			"an infinite value":   {func(r *reading.Reading) { r.Value = math.Inf(1) }, "value is +Inf", true},
			"white space":         {func(r *reading.Reading) { r.EntityID = "m " }, "white space at an end", true},
			"a long name":         {func(r *reading.Reading) { r.EntityID = strings.Repeat("m", 257) }, "at most 256", true},
			"bytes that are none": {func(r *reading.Reading) { r.Unit = "\xff" }, `unit "\xff" is not valid UTF-8`, false},
			"an unknown quality":  {func(r *reading.Reading) { r.Quality = 9 }, "quality(9) is not known", false},
			"a negative length":   {func(r *reading.Reading) { r.Length = -1 }, "length -1ns is negative", false},
		}
		for name, c := range cases {
			r := numbered(1)
			c.change(&r)
			var wrong *producer.ReadingError
			err := p.Publish(patient(t), r).Wait(patient(t))
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
			receipt := loose.Publish(patient(t), r)
			if o := receipt.Outcome(0); c.passes != errors.Is(o.Err, producer.ErrPending) {
				t.Errorf("%s, unchecked: %v", name, o.Err)
			}
		}
		large := numbered(1)
		large.EntityID = strings.Repeat("m", 2<<10)
		if err := loose.Publish(patient(t), large).Wait(patient(t)); err == nil ||
			!strings.Contains(err.Error(), "at most 1008 fit into a message") {
			t.Error(err)
		}
		if err := loose.Flush(patient(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("WaitsForRoomUntilTheContextEnds", func(t *testing.T) {
		t.Parallel()
		js := provisioned(t, 0)
		p, err := producer.New(js, producer.Options{Buffer: 1000, Linger: time.Hour}) // nobody runs it
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		receipt := p.Publish(ctx, run(0, 100)...)
		last := receipt.Outcome(99)
		if !errors.Is(last.Err, producer.ErrPending) { // the first ones are under way
			t.Errorf("the last is %v", last.Err)
		}
		if err := receipt.Wait(ctx); !errors.Is(err, producer.ErrPending) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := p.Flush(ctx); !errors.Is(err, producer.ErrPending) {
			t.Error(err)
		}
		ended, cancelRun := context.WithCancel(t.Context())
		cancelRun()
		if err := p.Run(ended); err != nil { // sends what was taken in
			t.Fatal(err)
		}
		found, refused := truthful(t, receipt, run(0, 100), stored(t, js, 0))
		if found == 0 || refused == 0 || found+refused != 100 || int64(found) != p.Stats().Stored {
			t.Errorf("%d stored, %d refused", found, refused)
		}
		last = receipt.Outcome(99)
		if !errors.Is(last.Err, context.DeadlineExceeded) || !strings.Contains(last.Err.Error(), "buffer of 1000 bytes is full") {
			t.Errorf("the last is %v", last.Err)
		}
		if err := p.Publish(t.Context(), numbered(1)).Wait(patient(t)); !errors.Is(err, producer.ErrClosed) {
			t.Error(err)
		}
		if err := p.Run(t.Context()); err == nil {
			t.Error("Run runs twice")
		}
	})
	t.Run("RefusesWrongOptionsAtOnce", func(t *testing.T) {
		t.Parallel()
		_, err := producer.New(provisioned(t, 0), producer.Options{
			Subject: "bronze.1", Format: 7, MaxReadings: -1, MaxBytes: -1, Linger: -1, Buffer: -1, Timeout: -1, Grace: -1,
		})
		for _, want := range []string{`subject "bronze.1"`, "format 7", "max readings -1", "max bytes -1", "linger -1",
			"buffer -1", "timeout -1", "grace -1"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %q: %v", want, err)
			}
		}
	})
}

// BenchmarkPublish is what an application pays for a reading, over a real broker.
func BenchmarkPublish(b *testing.B) {
	for name, o := range map[string]producer.Options{
		"protobuf": {Format: producer.Protobuf}, "json": {Format: producer.JSON},
	} {
		for call, n := range map[string]int{"one": 1, "hundred": 100} {
			b.Run(name+"/"+call, func(b *testing.B) {
				js := provisioned(b, 0)
				p, _ := start(b, js, o)
				readings := run(0, n)
				b.ReportAllocs()
				for range b.N {
					p.Publish(b.Context(), readings...)
				}
				if err := p.Flush(patient(b)); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "readings/s")
			})
		}
	}
}
