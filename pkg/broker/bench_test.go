package broker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
)

var benchSizes = []int{200, 64 << 10}

// benchMessages is how many messages of a size make some tens of megabytes.
func benchMessages(size int) int { return min(100_000, (64<<20)/size) }

// fill publishes n messages on bronze.0.
func fill(b *testing.B, js jetstream.JetStream, n, size int) {
	b.Helper()
	p := publisher(b, js)
	for first := 1; first <= n; first += 1000 {
		msgs := numbered("bronze.0", first, min(first+999, n), size)
		if _, err := p.PublishAll(b.Context(), msgs); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			js, _ := provisioned(b)
			n := benchMessages(size)
			fill(b, js, n, size)
			budget := broker.NewBudget(0)
			b.SetBytes(int64(n * size))
			b.ReportAllocs()
			for b.Loop() {
				r := reader(b, js, broker.ReaderConfig{Stream: "BRONZE", FilterSubject: "bronze.0", Budget: budget})
				for got := 0; got < n; {
					batch, err := r.NextBatch(b.Context(), broker.BatchLimits{Bytes: 1 << 20, Linger: 20 * time.Millisecond})
					if err != nil {
						b.Fatal(err)
					}
					got += len(batch.Messages)
					batch.Release()
				}
				r.Close()
			}
			report(b, n)
		})
	}
}

// BenchmarkOrderedConsumer is the floor to compare with: nats.go's own.
func BenchmarkOrderedConsumer(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			js, _ := provisioned(b)
			n := benchMessages(size)
			fill(b, js, n, size)
			b.SetBytes(int64(n * size))
			b.ReportAllocs()
			for b.Loop() {
				readOrdered(b, b.Context(), js, n)
			}
			report(b, n)
		})
	}
}

func readOrdered(b *testing.B, ctx context.Context, js jetstream.JetStream, n int) {
	b.Helper()
	c, err := js.OrderedConsumer(ctx, "BRONZE", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"bronze.0"}})
	if err != nil {
		b.Fatal(err)
	}
	it, err := c.Messages(jetstream.PullMaxBytes(1 << 20))
	if err != nil {
		b.Fatal(err)
	}
	defer it.Stop()
	for range n {
		m, err := it.Next()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Metadata(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPublisher(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			js, _ := provisioned(b, func(t *broker.Topology) { t.Limits.Bronze = 0 })
			p := publisher(b, js)
			n := benchMessages(size) / 10
			msgs := numbered("bronze.0", 1, n, size)
			b.SetBytes(int64(n * size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.PublishAll(b.Context(), msgs); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				s, err := js.Stream(b.Context(), "BRONZE")
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Purge(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			report(b, n)
		})
	}
}

func report(b *testing.B, n int) {
	b.Helper()
	b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "msg/s")
}
