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

// QuarantineEncoder builds a QuarantineBatch of one stage and rule, or of one stage
// and resolution. Its zero value is ready for use.
type QuarantineEncoder struct {
	readings  BronzeEncoder
	rules     runs
	detail    []string
	payload   [][]byte
	decisions []*energyv1.Decision
	extra     int
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

// Resolve appends what became of a reading that was refused, and who decided it.
func (e *QuarantineEncoder) Resolve(stamp reading.Stamp, d reading.Decision) {
	e.Add(Refusal{Stamp: stamp})
	e.decisions = append(e.decisions, &energyv1.Decision{
		Person: strings.ToValidUTF8(d.Person, "\uFFFD"), DecidedAtNs: d.At, Reason: strings.ToValidUTF8(d.Reason, "\uFFFD"),
	})
	e.extra += len(d.Person) + len(d.Reason) + 16
}

// Len returns the number of rows since the last Marshal.
func (e *QuarantineEncoder) Len() int { return e.readings.Len() }

// Size returns an upper bound of the message's size in bytes.
func (e *QuarantineEncoder) Size() int { return e.readings.Size() + e.extra }

// Marshal returns the message of refusals and empties the encoder.
func (e *QuarantineEncoder) Marshal(stage string, rule reading.Rule, epoch uint64) ([]byte, error) {
	return e.marshal(&energyv1.QuarantineBatch{Stage: stage, Rule: rule.String(), Epoch: epoch})
}

// MarshalResolved returns the message of what was resolved and empties the encoder.
func (e *QuarantineEncoder) MarshalResolved(stage string, as reading.Resolution, epoch uint64) ([]byte, error) {
	return e.marshal(&energyv1.QuarantineBatch{
		Stage: stage, Epoch: epoch, Resolution: energyv1.Resolution(as), Decisions: e.decisions,
	})
}

func (e *QuarantineEncoder) marshal(b *energyv1.QuarantineBatch) ([]byte, error) {
	b.Readings, b.Rules, b.Detail, b.Payload = e.readings.message(), e.rules.proto(), e.detail, e.payload
	data, err := proto.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("marshal quarantine batch: %w", err)
	}
	e.readings.columns.reset()
	e.rules = e.rules.emptied()
	clear(e.payload)
	e.detail, e.payload, e.decisions, e.extra = e.detail[:0], e.payload[:0], nil, 0
	return data, nil
}

// Quarantine is a decoded QuarantineBatch.
type Quarantine struct {
	Stage string
	Rule  string
	Epoch uint64
	// Resolution is what became of the readings; Refused for refusals.
	Resolution reading.Resolution
	readings   *Bronze
	batch      *energyv1.QuarantineBatch
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
		checkResolution(batch, readings.Len()),
	} {
		if err != nil {
			return nil, fmt.Errorf("quarantine batch: %w", err)
		}
	}
	return &Quarantine{
		Stage: batch.GetStage(), Rule: batch.GetRule(), Epoch: batch.GetEpoch(),
		Resolution: reading.Resolution(batch.GetResolution()), readings: readings, batch: batch,
	}, nil
}

func checkResolution(b *energyv1.QuarantineBatch, rows int) error {
	as := b.GetResolution()
	switch {
	case energyv1.Resolution_name[int32(as)] == "":
		return fmt.Errorf("resolution %d: %w", as, ErrMalformed)
	case as == energyv1.Resolution_RESOLUTION_UNSPECIFIED:
		rows = 0
	}
	return checkRows("decisions", uint64(len(b.GetDecisions())), rows)
}

// Resolved returns the readings of which the batch tells what became, by their
// stamps, and who decided it, in message order; nothing for refusals.
func (q *Quarantine) Resolved() iter.Seq2[reading.Stamp, reading.Decision] {
	return func(yield func(reading.Stamp, reading.Decision) bool) {
		if q.Resolution == reading.Refused {
			return
		}
		i := 0
		for row := range q.readings.Rows() {
			d := q.batch.GetDecisions()[i]
			if !yield(row.Stamp, reading.Decision{Person: d.GetPerson(), At: d.GetDecidedAtNs(), Reason: d.GetReason()}) {
				return
			}
			i++
		}
	}
}

// Len returns the number of rows.
func (q *Quarantine) Len() int { return q.readings.Len() }

// Refusals returns the rows in message order; nothing where they are resolved.
func (q *Quarantine) Refusals() iter.Seq[Refusal] {
	return func(yield func(Refusal) bool) {
		if q.Resolution != reading.Refused {
			return
		}
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
