package wire

import (
	"fmt"
	"iter"
	"math"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Refusal is a reading that a stage refused, or a payload that it could not
// decode, and why.
type Refusal struct {
	Reading reading.Reading // zero where it could not be decoded
	Stamp   reading.Stamp
	Rules   reading.Rules // all rules that fired
	Detail  string        // a sentence for people
	Payload []byte        // what could not be decoded
}

// QuarantineEncoder builds a QuarantineBatch of one stage and rule. Its zero
// value is ready for use.
type QuarantineEncoder struct {
	readings BronzeEncoder
	rules    runs
	detail   []string
	payload  [][]byte
	extra    int
}

// Add appends a refusal. The payload is kept until Marshal.
func (e *QuarantineEncoder) Add(r Refusal) {
	r.Reading.EntityID = strings.ToValidUTF8(r.Reading.EntityID, "\uFFFD")
	r.Reading.Metric = strings.ToValidUTF8(r.Reading.Metric, "\uFFFD")
	r.Reading.Unit = strings.ToValidUTF8(r.Reading.Unit, "\uFFFD")
	if !r.Reading.Quality.Valid() {
		r.Reading.Quality = reading.Unspecified
	}
	e.readings.Add(r.Reading, r.Stamp)
	e.rules.add(uint64(r.Rules))
	e.detail = append(e.detail, strings.ToValidUTF8(r.Detail, "\uFFFD"))
	e.payload = append(e.payload, r.Payload)
	e.extra += len(r.Detail) + len(r.Payload) + 16
}

// Len returns the number of rows since the last Marshal.
func (e *QuarantineEncoder) Len() int { return e.readings.Len() }

// Size returns an upper bound of the message's size in bytes.
func (e *QuarantineEncoder) Size() int { return e.readings.Size() + e.extra }

// Marshal returns the message and empties the encoder.
func (e *QuarantineEncoder) Marshal(stage string, rule reading.Rule, epoch uint64) ([]byte, error) {
	data, err := proto.Marshal(&energyv1.QuarantineBatch{
		Stage: stage, Rule: rule.String(), Epoch: epoch,
		Readings: e.readings.message(), Rules: e.rules.proto(),
		Detail: e.detail, Payload: e.payload,
	})
	if err != nil {
		return nil, fmt.Errorf("marshal quarantine batch: %w", err)
	}
	e.readings.columns.reset()
	e.rules = e.rules.emptied()
	clear(e.payload)
	e.detail, e.payload, e.extra = e.detail[:0], e.payload[:0], 0
	return data, nil
}

// Quarantine is a decoded QuarantineBatch.
type Quarantine struct {
	Stage    string
	Rule     string
	Epoch    uint64
	readings *Bronze
	batch    *energyv1.QuarantineBatch
}

// DecodeQuarantine decodes a message.
func DecodeQuarantine(data []byte) (*Quarantine, error) {
	batch := new(energyv1.QuarantineBatch)
	if err := proto.Unmarshal(data, batch); err != nil {
		return nil, fmt.Errorf("quarantine batch: %w: %w", ErrMalformed, err)
	}
	if batch.Readings == nil {
		batch.Readings = new(energyv1.BronzeBatch)
	}
	readings, err := bronzeOf(batch.GetReadings())
	if err != nil {
		return nil, fmt.Errorf("quarantine batch: %w", err)
	}
	for _, err := range []error{
		checkRuns("rules", batch.GetRules(), readings.Len(), math.MaxUint64),
		checkRows("detail", uint64(len(batch.GetDetail())), readings.Len()),
		checkRows("payload", uint64(len(batch.GetPayload())), readings.Len()),
	} {
		if err != nil {
			return nil, fmt.Errorf("quarantine batch: %w", err)
		}
	}
	return &Quarantine{
		Stage: batch.GetStage(), Rule: batch.GetRule(), Epoch: batch.GetEpoch(),
		readings: readings, batch: batch,
	}, nil
}

// Len returns the number of rows.
func (q *Quarantine) Len() int { return q.readings.Len() }

// Refusals returns the rows in message order.
func (q *Quarantine) Refusals() iter.Seq[Refusal] {
	return func(yield func(Refusal) bool) {
		rules, i := newCursor(q.batch.GetRules()), 0
		for row := range q.readings.Rows() {
			r := Refusal{
				Reading: row.Reading, Stamp: row.Stamp, Rules: reading.Rules(rules.next()),
				Detail: q.batch.GetDetail()[i], Payload: q.batch.GetPayload()[i],
			}
			if !yield(r) {
				return
			}
			i++
		}
	}
}
