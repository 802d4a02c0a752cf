package wire

import (
	"fmt"
	"iter"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// SilverEncoder builds a SilverBatch of judgements. Its zero value is ready for
// use.
type SilverEncoder struct {
	columns  columns
	flags    runs
	verdict  runs
	rejected bool // whether any is
	waived   runs
	released runs
}

// Add appends a judgement that accepts a reading, or a silver.Hearing's
// rejection of what was accepted.
func (e *SilverEncoder) Add(j *silver.Judgement) {
	e.columns.add(j.Series(), &j.Reading, j.Stamp)
	e.flags.add(uint64(j.Flags))
	waived := uint64(0)
	if j.Waived {
		waived = 1
	}
	e.waived.add(waived)
	e.released.add(uint64(j.Released))
	verdict := energyv1.Verdict_VERDICT_ACCEPTED
	if !j.Accepted() {
		verdict, e.rejected = energyv1.Verdict_VERDICT_REJECTED, true
	}
	e.verdict.add(uint64(verdict))
}

// Version returns the version that a judgement becomes in gold: what travels through
// silver gives the same.
func Version(j *silver.Judgement) gold.Version {
	r := &j.Reading
	return gold.Version{
		Time: r.Time, Value: r.Value, Revision: r.Revision, Length: r.Length,
		Exchange: r.Exchange, ExchangeStart: r.ExchangeStart, Quality: r.Quality,
		Flags: j.Flags, Epoch: j.Epoch, Rejected: !j.Accepted(), Waived: j.Waived, Stamp: j.Stamp, Released: j.Released,
	}
}

// Len returns the number of rows since the last Marshal.
func (e *SilverEncoder) Len() int { return len(e.columns.index) }

// Size returns an upper bound of the message's size in bytes.
func (e *SilverEncoder) Size() int { return e.columns.size }

// Marshal returns the message, judged under that epoch, and empties the
// encoder.
func (e *SilverEncoder) Marshal(epoch uint64) ([]byte, error) {
	c := &e.columns
	var verdict *energyv1.Runs
	if e.rejected {
		verdict = e.verdict.proto()
	}
	data, err := proto.Marshal(&energyv1.SilverBatch{
		Series: c.series, SeriesIndex: c.index, TimeDeltaNs: c.times, Value: c.values,
		Quality: c.quality.proto(), Revision: c.revision.proto(), LengthNs: c.length.proto(),
		Stamps: &c.stamps.columns, Flags: e.flags.proto(), Waived: e.waived.proto(), Epoch: epoch,
		Verdict: verdict, Exchanges: c.exchanges(), ReleasedAtNs: e.released.proto(),
	})
	if err != nil {
		return nil, fmt.Errorf("marshal silver batch: %w", err)
	}
	c.reset()
	e.flags, e.waived, e.verdict, e.rejected = e.flags.emptied(), e.waived.emptied(), e.verdict.emptied(), false
	e.released = e.released.emptied()
	return data, nil
}

// Silver is a decoded SilverBatch.
type Silver struct {
	// Series is the dictionary; units are canonical.
	Series []reading.Series
	batch  *energyv1.SilverBatch
}

// DecodeSilver decodes a message.
func DecodeSilver(data []byte) (*Silver, error) {
	b := new(energyv1.SilverBatch)
	if err := proto.Unmarshal(data, b); err != nil {
		return nil, fmt.Errorf("silver batch: %w: %w", ErrMalformed, err)
	}
	rows := len(b.GetSeriesIndex())
	for _, err := range []error{
		checkCommon(b),
		checkRuns("flags", b.GetFlags(), rows, math.MaxUint64),
		checkRuns("verdict", b.GetVerdict(), rows, uint64(energyv1.Verdict_VERDICT_REJECTED)),
		checkRuns("waived", b.GetWaived(), rows, 1),
		checkRuns("released_at_ns", b.GetReleasedAtNs(), rows, math.MaxInt64),
		checkFinite("value", b.GetValue()),
		checkFinite("exchange start", b.GetExchanges().GetStart()),
	} {
		if err != nil {
			return nil, fmt.Errorf("silver batch: %w", err)
		}
	}
	return &Silver{Series: dictionary(b.GetSeries()), batch: b}, nil
}

func checkFinite(name string, values []float64) error {
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s %v at %d: %w", name, v, i, ErrMalformed)
		}
	}
	return nil
}

// Epoch returns the number of the catalogue epoch that judged.
func (s *Silver) Epoch() uint64 { return s.batch.GetEpoch() }

// Len returns the number of rows.
func (s *Silver) Len() int { return len(s.batch.GetSeriesIndex()) }

// Each calls what with each row as a version, and the place of its series. The
// version is what's until it returns.
func (s *Silver) Each(what func(series int, v *gold.Version)) {
	c := newCommonCursor(s.batch)
	flags, verdict := newCursor(s.batch.GetFlags()), newCursor(s.batch.GetVerdict())
	waived, released := newCursor(s.batch.GetWaived()), newCursor(s.batch.GetReleasedAtNs())
	v := gold.Version{Epoch: s.batch.GetEpoch()}
	for range s.Len() {
		series, r, stamp := c.next()
		v.Time, v.Value, v.Revision, v.Length = r.Time, r.Value, r.Revision, r.Length
		v.Exchange, v.ExchangeStart, v.Quality, v.Stamp = r.Exchange, r.ExchangeStart, r.Quality, stamp
		v.Flags = reading.Rules(flags.next())
		v.Rejected = energyv1.Verdict(verdict.next()) == energyv1.Verdict_VERDICT_REJECTED
		v.Waived = waived.next() == 1
		v.Released = int64(released.next())
		what(int(series), &v)
	}
}

// Versions returns the rows as versions, with their series.
func (s *Silver) Versions() iter.Seq2[reading.Series, gold.Version] {
	return func(yield func(reading.Series, gold.Version) bool) {
		more := true
		s.Each(func(series int, v *gold.Version) { more = more && yield(s.Series[series], *v) })
	}
}
