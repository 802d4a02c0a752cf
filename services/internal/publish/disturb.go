package publish

import (
	"math/rand/v2"

	"github.com/energy-platform/energy/pkg/reading"
)

// disturbance repeats and shuffles readings, the same way for the same seed.
type disturbance struct {
	random   *rand.Rand
	fraction float64
	shuffle  bool
	held     []reading.Reading
}

func newDisturbance(fraction float64, shuffle *uint64) *disturbance {
	d := &disturbance{fraction: fraction, shuffle: shuffle != nil}
	var seed uint64
	if d.shuffle {
		seed = *shuffle
	}
	d.random = rand.New(rand.NewPCG(seed, seed))
	return d
}

// take sends a reading once or twice, or holds it until flush.
func (d *disturbance) take(r reading.Reading, send func(reading.Reading) error) error {
	times := 1
	if d.fraction > 0 && d.random.Float64() < d.fraction {
		times = 2
	}
	for range times {
		if d.shuffle {
			d.held = append(d.held, r)
		} else if err := send(r); err != nil {
			return err
		}
	}
	return nil
}

// flush sends what is held in a random order.
func (d *disturbance) flush(send func(reading.Reading) error) error {
	d.random.Shuffle(len(d.held), func(i, j int) { d.held[i], d.held[j] = d.held[j], d.held[i] })
	for _, r := range d.held {
		if err := send(r); err != nil {
			return err
		}
	}
	return nil
}
