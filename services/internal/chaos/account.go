package chaos

import (
	"context"
	"fmt"
	"math"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
)

// account reads READINGS: what was acknowledged must be stored, and each reading that is
// stored must be in gold or in quarantine (invariant 4).
func (w *world) account(ctx context.Context, g *stored) error {
	conn, js, err := w.server.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	status, err := broker.Stream(ctx, js, broker.StreamReadings)
	if err != nil {
		return err
	}
	c, err := catalog.Default()
	if err != nil {
		return err
	}
	a := accounting{gold: g, judge: silver.NewJudge(c), benches: make(map[reading.Series]*silver.Bench), report: w.report}
	reader, err := broker.OpenReader(ctx, js, broker.ReaderConfig{Stream: broker.StreamReadings})
	if err != nil {
		return err
	}
	defer reader.Close()
	for last := uint64(0); last < status.LastSequence; {
		m, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		last = m.Sequence
		if sum, ok := w.feeder.acked[m.Sequence]; ok {
			if sum != checksum(m.Data) {
				return fmt.Errorf("message %d of READINGS is not the one that was acknowledged", m.Sequence)
			}
			delete(w.feeder.acked, m.Sequence)
		}
		if a.message(&m); a.err != nil {
			return a.err
		}
	}
	for sequence := range w.feeder.acked {
		return fmt.Errorf("READINGS has lost %d messages that were acknowledged, such as %d",
			len(w.feeder.acked), sequence)
	}
	return nil
}

// accounting follows stored readings to their ends.
type accounting struct {
	gold    *stored
	judge   *silver.Judge
	benches map[reading.Series]*silver.Bench
	decoder bronze.Decoder
	report  *Report
	err     error
}

func (a *accounting) message(m *broker.Message) {
	a.decoder.Received = m.Received.UnixNano()
	stamp := func(index uint32) reading.Stamp {
		return reading.Stamp{Received: m.Received.UnixNano(), Sequence: m.Sequence, Index: index}
	}
	a.decoder.Decode(m.Header.Get("Content-Type"), m.Data,
		func(index uint32, r reading.Reading) { a.reading(r, stamp(index)) },
		func(f bronze.Fault) {
			a.report.Stored++
			// A message with too many faults for an entry each is kept as it is.
			if a.inQuarantine(stamp(f.Index)) {
				return
			}
			if a.gold.kept[stamp(0)] != len(m.Data) {
				a.fail("what cannot be decoded in message %d at %d is not in quarantine: %s", m.Sequence, f.Index, f.Detail)
			}
			a.report.Quarantine++
		})
}

// reading follows one reading: accepted, its content is in gold; else it is refused.
func (a *accounting) reading(r reading.Reading, stamp reading.Stamp) {
	a.report.Stored++
	names := reading.Series{EntityID: r.EntityID, Metric: r.Metric, Unit: r.Unit}
	b, ok := a.benches[names]
	if !ok {
		b = a.judge.Bench(names.EntityID, names.Metric, names.Unit)
		a.benches[names] = b
	}
	if j := b.Judge(r, stamp, nil); j.Accepted() {
		c := &j.Reading
		key := contentKey{
			j.Series(), c.Time, math.Float64bits(c.Value), c.Revision, c.Length, c.Quality, c.Exchange,
			math.Float64bits(c.ExchangeStart),
		}
		if _, ok := a.gold.contents[a.gold.hash(&key)]; ok {
			a.report.InGold++
			return
		}
	}
	if !a.inQuarantine(stamp) {
		a.fail("%+v of %+v is neither in gold nor in quarantine", r, stamp)
	}
}

func (a *accounting) inQuarantine(s reading.Stamp) bool {
	_, refused := a.gold.refused[s]
	if refused {
		a.report.Quarantine++
	}
	return refused
}

func (a *accounting) fail(format string, args ...any) {
	if a.err == nil {
		a.err = fmt.Errorf(format, args...)
	}
}
