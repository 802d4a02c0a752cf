package wire

import (
	"fmt"
	"iter"

	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// BronzeEncoder builds a BronzeBatch. Its zero value is ready for use.
type BronzeEncoder struct {
	columns columns
	waivers []*energyv1.Waiver
	again   bool
	epoch   uint64
}

// Add appends a reading as it was received.
func (e *BronzeEncoder) Add(r reading.Reading, stamp reading.Stamp) {
	e.columns.add(reading.Series{EntityID: r.EntityID, Metric: r.Metric, Unit: r.Unit}, &r, stamp)
}

// Release appends a reading that was in quarantine, with the waiver that lets it
// pass; nil has it judged again without.
func (e *BronzeEncoder) Release(r reading.Reading, stamp reading.Stamp, waiver *reading.Waiver) {
	e.again = true
	if waiver != nil {
		for rule := range waiver.Rules.All() {
			e.waivers = append(e.waivers, &energyv1.Waiver{
				Row: uint32(e.Len()), Rule: rule.String(), Epoch: waiver.Epoch,
				Person: waiver.Person, ReleasedAtNs: waiver.At, Reason: waiver.Reason,
			})
			e.columns.size += len(rule.String()) + len(waiver.Person) + len(waiver.Reason) + bytesPerWaiver
		}
	}
	e.Add(r, stamp)
}

// Len returns the number of rows since the last Marshal.
func (e *BronzeEncoder) Len() int { return len(e.columns.index) }

// Size returns an upper bound of the message's size in bytes.
func (e *BronzeEncoder) Size() int { return e.columns.size }

// Marshal returns the message and empties the encoder.
func (e *BronzeEncoder) Marshal() ([]byte, error) {
	data, err := proto.Marshal(e.message())
	if err != nil {
		return nil, fmt.Errorf("marshal bronze batch: %w", err)
	}
	e.columns.reset()
	e.waivers, e.again, e.epoch = nil, false, 0
	return data, nil
}

// EpochMarker returns the message that makes everything behind it in a partition
// be judged under that catalogue epoch or a later one.
func EpochMarker(epoch uint64) ([]byte, error) {
	data, err := proto.Marshal(&energyv1.BronzeBatch{Epoch: epoch})
	if err != nil {
		return nil, fmt.Errorf("marshal epoch marker: %w", err)
	}
	return data, nil
}

func (e *BronzeEncoder) message() *energyv1.BronzeBatch {
	c := &e.columns
	return &energyv1.BronzeBatch{
		Series: c.series, SeriesIndex: c.index, TimeDeltaNs: c.times, Value: c.values,
		Quality: c.quality.proto(), Revision: c.revision.proto(), LengthNs: c.length.proto(),
		Stamps: &c.stamps.columns, Exchanges: c.exchanges(), Waivers: e.waivers, Again: e.again,
		Epoch: e.epoch,
	}
}

// Bronze is a decoded BronzeBatch.
type Bronze struct {
	// Series is the dictionary; units are the producers'.
	Series []reading.Series
	batch  *energyv1.BronzeBatch
	waived map[uint32]*reading.Waiver
}

// BronzeRow is one row of a Bronze.
type BronzeRow struct {
	Series  int // place in the dictionary
	Reading reading.Reading
	Stamp   reading.Stamp
	Waived  *reading.Waiver // what a release lets the reading pass; nil if it was not released
}

// DecodeBronze decodes a message.
func DecodeBronze(data []byte) (*Bronze, error) {
	batch := new(energyv1.BronzeBatch)
	if err := proto.Unmarshal(data, batch); err != nil {
		return nil, fmt.Errorf("bronze batch: %w: %w", ErrMalformed, err)
	}
	return bronzeOf(batch)
}

func bronzeOf(batch *energyv1.BronzeBatch) (*Bronze, error) {
	if err := checkCommon(batch); err != nil {
		return nil, fmt.Errorf("bronze batch: %w", err)
	}
	b := &Bronze{batch: batch, Series: dictionary(batch.GetSeries())}
	for _, w := range batch.GetWaivers() {
		rule, ok := reading.ParseRule(w.GetRule())
		if !ok || int(w.GetRow()) >= b.Len() {
			return nil, fmt.Errorf("bronze batch: waiver of rule %q for row %d: %w", w.GetRule(), w.GetRow(), ErrMalformed)
		}
		b.waive(w, rule)
	}
	return b, nil
}

// waive takes in one waiver. Several of a row are one: who gave the last one let
// the reading pass.
func (b *Bronze) waive(w *energyv1.Waiver, rule reading.Rule) {
	if b.waived == nil {
		b.waived = make(map[uint32]*reading.Waiver)
	}
	all := b.waived[w.GetRow()]
	if all == nil {
		all = new(reading.Waiver)
		b.waived[w.GetRow()] = all
	}
	if all.Rules == 0 || w.GetReleasedAtNs() > all.At {
		all.Epoch = w.GetEpoch()
		all.Decision = reading.Decision{Person: w.GetPerson(), At: w.GetReleasedAtNs(), Reason: w.GetReason()}
	}
	all.Rules = all.Rules.With(rule)
}

// Again reports whether the readings were in quarantine, which is to be told what
// becomes of them.
func (b *Bronze) Again() bool { return b.batch.GetAgain() }

// Epoch returns the catalogue epoch under which everything behind this message is
// judged at the earliest, 0 when it says nothing of that.
func (b *Bronze) Epoch() uint64 { return b.batch.GetEpoch() }

// Waives reports whether a row passes rules by a release.
func (b *Bronze) Waives() bool { return len(b.waived) > 0 }

// Len returns the number of rows.
func (b *Bronze) Len() int { return len(b.batch.GetSeriesIndex()) }

// Rows returns the rows in message order.
func (b *Bronze) Rows() iter.Seq[BronzeRow] {
	return func(yield func(BronzeRow) bool) {
		c := newCommonCursor(b.batch)
		for i := range b.Len() {
			series, r, stamp := c.next()
			s := &b.Series[series]
			r.EntityID, r.Metric, r.Unit = s.EntityID, s.Metric, s.Unit
			if !yield(BronzeRow{int(series), r, stamp, b.waived[uint32(i)]}) {
				return
			}
		}
	}
}

func dictionary(keys []*energyv1.SeriesKey) []reading.Series {
	series := make([]reading.Series, len(keys))
	for i, k := range keys {
		series[i] = SeriesOf(k)
	}
	return series
}
