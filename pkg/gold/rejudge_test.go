package gold_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
)

// received is a reading as it is stored in bronze.
type received struct {
	reading reading.Reading
	stamp   reading.Stamp
	waived  *reading.Waiver
}

// drawEpochs draws catalogues that differ in all that silver looks at: a unit's
// factor, the canonical unit, a limit, what a timestamp means, and the skew, by
// which a judgement depends on the stamp and not on the content alone.
func drawEpochs(t *rapid.T) (epochs catalog.Epochs) {
	of := func(label string, choices ...string) string { return rapid.SampledFrom(choices).Draw(t, label) }
	for n := range rapid.IntRange(2, 4).Draw(t, "epochs") {
		document := fmt.Sprintf(`
future_skew: %s
units: {kWh: {dimension: energy}, Wh: {dimension: energy, den: %s}}
metrics:
  other: {kind: gauge, unit: kWh}
  m: {kind: interval, unit: %s, label: %s, length: 10m, max: %s,
    expectations: {small: {expect: "value < 1500.0", else: %s}}}
`, of("skew", "1ms", "4s", "1h"), of("den", "1000", "1000", "2"), of("unit", "kWh", "kWh", "Wh"),
			of("label", "start", "start", "end"), of("max", "1", "1000", "3000"), of("else", "warn", "quarantine"))
		var err error
		if epochs, err = epochs.Append(time.Unix(int64(n), 0), []byte(document)); err != nil {
			t.Fatal(err)
		}
	}
	return epochs
}

// drawReceived draws readings that were received shortly before their event
// time, so that many are in the future for some epochs and not for others.
func drawReceived(t *rapid.T) []received {
	one := rapid.Custom(func(t *rapid.T) received {
		r := received{
			reading: reading.Reading{
				EntityID: "e", Metric: "m",
				Unit:     rapid.SampledFrom([]string{"kWh", "Wh", ""}).Draw(t, "unit"),
				Time:     goldtest.Start + int64(rapid.IntRange(0, 1).Draw(t, "time"))*int64(10*time.Minute),
				Value:    rapid.SampledFrom([]float64{1, 2, 1000, 2000}).Draw(t, "value"),
				Quality:  rapid.SampledFrom([]reading.Quality{reading.Actual, reading.Actual, reading.Withdrawn}).Draw(t, "quality"),
				Revision: rapid.Uint64Range(0, 1).Draw(t, "revision"),
			},
			stamp: goldtest.Stamp().Draw(t, "stamp"),
		}
		r.stamp.Received = r.reading.Time - int64(6*time.Second) + int64(r.stamp.Sequence)*int64(time.Second)
		if rapid.IntRange(0, 3).Draw(t, "released") == 0 {
			r.waived = &reading.Waiver{Rules: reading.Rules(0).With(reading.OutOfRange).With(reading.Expectation)}
			r.waived.At = r.stamp.Received + rapid.Int64Range(0, 2).Draw(t, "at")
		}
		return r
	})
	name := func(r received) string { return fmt.Sprint(r.stamp, r.waived != nil) }
	return rapid.SliceOfNDistinct(one, 1, 12, name).Draw(t, "received")
}

type sets map[reading.Series][]gold.Version

func (s sets) add(j silver.Judgement) {
	s[j.Series()] = append(s[j.Series()], gold.Version{
		Time: j.Reading.Time, Value: j.Reading.Value, Revision: j.Reading.Revision, Length: j.Reading.Length,
		Flags: j.Flags, Epoch: j.Epoch, Quality: j.Reading.Quality,
		Rejected: !j.Accepted(), Waived: j.Waived, Stamp: j.Stamp, Released: j.Released,
	})
}

// merged is the sets as gold holds them, whatever order they came in.
func (s sets) merged() sets {
	for series, versions := range s {
		s[series] = gold.Normalize(versions)
	}
	return s
}

// winners is what counts in the sets, without saying by which judgement.
func (s sets) winners() map[reading.Series][]gold.Version {
	all := make(map[reading.Series][]gold.Version)
	for series, versions := range s {
		for _, w := range gold.Winners(nil, versions) {
			w.Epoch, w.Stamp, w.Released = 0, reading.Stamp{}, 0
			all[series] = append(all[series], w)
		}
	}
	return all
}

func judged(epochs catalog.Epochs, n uint64, r *received) silver.Judgement {
	c, _ := epochs.At(n)
	b := silver.NewJudge(c).Bench(r.reading.EntityID, r.reading.Metric, r.reading.Unit)
	return b.Judge(r.reading, r.stamp, r.waived)
}

// refusedUntil returns the epoch behind the last one before the newest that refuses
// a reading, 0 if none does.
func refusedUntil(epochs catalog.Epochs, r *received) (until uint64) {
	for n := uint64(1); n < epochs.Len(); n++ {
		if j := judged(epochs, n, r); !j.Accepted() {
			until = n + 1
		}
	}
	return until
}

// TestHeardReadingsEndAsIfNewlyReceived is the law of re-judging: whichever epochs judged
// readings when they came, once each has been heard gold holds the same versions, and of
// these count those that would if all readings came now (invariant 17).
func TestHeardReadingsEndAsIfNewlyReceived(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		epochs, all := drawEpochs(t), drawReceived(t)
		live, heard, fresh := make(sets), make(sets), make(sets)
		for i := range all {
			r := &all[i]
			for range rapid.IntRange(0, 2).Draw(t, "times judged") {
				n := rapid.Uint64Range(1, epochs.Len()).Draw(t, "epoch")
				if j := judged(epochs, n, r); j.Accepted() {
					live.add(j)
				}
			}
			hearing := silver.NewHearing(epochs, r.reading.EntityID, r.reading.Metric, r.reading.Unit)
			judgements, newest, until := hearing.Judge(nil, r.reading, r.stamp, r.waived)
			if want := refusedUntil(epochs, r); newest.Accepted() && until != want {
				t.Fatalf("%+v: earlier epochs refuse it until %d, want %d", r, until, want)
			}
			for _, j := range judgements {
				live.add(j)
				heard.add(j)
			}
			if newest.Accepted() {
				fresh.add(newest)
			}
		}
		if diff := cmp.Diff(heard.merged(), live.merged()); diff != "" {
			t.Fatalf("what came of the hearing depends on who judged before (-hearing +with earlier judgements):\n%s", diff)
		}
		if diff := cmp.Diff(fresh.merged().winners(), live.winners()); diff != "" {
			t.Fatalf("winners differ (-received now +heard):\n%s\nversions: %+v", diff, slices.Collect(valuesOf(live)))
		}
	})
}

func valuesOf(s sets) func(func([]gold.Version) bool) {
	return func(yield func([]gold.Version) bool) {
		for _, v := range s {
			if !yield(v) {
				return
			}
		}
	}
}

// TestEpochsThatChangeNothingForAMetric: readings of a metric that an epoch does
// not touch are judged as before, so that a duplicate received after it is a
// duplicate all the same.
func TestEpochsThatChangeNothingForAMetric(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		epochs, all := drawEpochs(t), drawReceived(t)
		document := epochs.Newest().Document() + "\n  another: {kind: gauge, unit: kWh, max: 3}\n"
		other, err := epochs.Append(time.Unix(9, 0), []byte(document))
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			if diff := cmp.Diff(judged(other, epochs.Len(), &all[i]), judged(other, other.Len(), &all[i]),
				cmp.AllowUnexported(silver.Judgement{})); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}
