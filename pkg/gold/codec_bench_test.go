package gold_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
)

// benchRows are rows as they are stored most: minutes of one message, values of
// three decimals; the same with values that no decimal gives; a full part of a
// second's cadence, each reading of a message of its own.
func benchRows() map[string][]gold.Version {
	rows := map[string][]gold.Version{"minutes": nil, "thirds": nil, "seconds": nil}
	for i := range 256 {
		value := float64(1200+(i*7919)%4000) / 1000
		minute := gold.Version{
			Time: goldtest.Start + int64(i)*int64(time.Minute), Value: value, Length: time.Minute, Epoch: 1,
			Stamp: reading.Stamp{Received: goldtest.Start + int64(time.Hour), Sequence: 678, Index: uint32(3 + 7*i)},
		}
		second := minute
		second.Time, second.Length = goldtest.Start+int64(i)*int64(time.Second), 0
		second.Stamp = reading.Stamp{Received: second.Time + int64(i*7919)%1e6, Sequence: uint64(1000 + 3*i)}
		rows["seconds"] = append(rows["seconds"], second)
		if i < 15 {
			rows["minutes"] = append(rows["minutes"], minute)
			minute.Value /= 3
			rows["thirds"] = append(rows["thirds"], minute)
		}
	}
	return rows
}

func BenchmarkEncode(b *testing.B) {
	for name, versions := range benchRows() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				samples, stamps := gold.Encode(goldtest.Start, versions)
				size = len(samples) + len(stamps)
			}
			b.ReportMetric(float64(size)/float64(len(versions)), "B/version")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, versions := range benchRows() {
		samples, stamps := gold.Encode(goldtest.Start, versions)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := gold.Decode(goldtest.Start, samples, stamps); err != nil {
					b.Fatal(fmt.Errorf("%s: %w", name, err))
				}
			}
		})
	}
}
